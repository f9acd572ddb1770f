"""The stager: a process on the engine's side that moves the files of attempts between its machines and the object store.

`runner` is what runs there, with the standard library alone; the other modules are the center's side.
"""
