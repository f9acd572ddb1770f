"""PURE: device time, memory and IT energy of a workload on hardware."""
