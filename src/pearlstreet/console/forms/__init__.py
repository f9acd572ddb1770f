"""Forms that are made from a table of fields."""
