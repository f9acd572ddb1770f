"""The simulator runs a whole center with injected faults on a virtual clock from one seed. No package imports it."""
