"""Placement: one file per scoring policy, and the shared selection of nodes for gangs and of devices in a node."""
