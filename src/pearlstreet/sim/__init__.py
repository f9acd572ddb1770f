"""The simulator: a whole center under a virtual clock, driven by one seed, with faults. Nothing imports this room."""
