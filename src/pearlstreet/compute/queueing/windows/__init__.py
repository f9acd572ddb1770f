"""Maintenance windows and reservations: nodes or cards kept free for a time."""
