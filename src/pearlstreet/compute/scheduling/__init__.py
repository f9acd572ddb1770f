"""What runs next, where, and why the rest waits: pure functions over NumPy snapshots."""
