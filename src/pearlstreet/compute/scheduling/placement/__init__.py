"""Where a job goes: one file a scoring policy, and the shared choice of nodes for gangs and devices inside a node."""
