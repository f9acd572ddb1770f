"""The pool of machines: shares of devices in exact arithmetic, topology, inventory."""
