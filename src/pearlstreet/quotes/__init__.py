"""Quotes: offers for a workload on the hardware there is, taken as they are, and compared with what it really took."""
