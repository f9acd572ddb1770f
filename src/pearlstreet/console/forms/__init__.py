"""Forms generated from tables of fields."""
