"""The planner: decides which jobs start, where, and why the others wait; pure functions over NumPy snapshots."""
