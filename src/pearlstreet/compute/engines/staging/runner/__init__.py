"""The program of the stager. It imports the standard library only, because it also runs on nodes without the center's packages."""
