"""Repositories of data sets, models and recipes: revisions, access, cards, and the bytes of their files."""
