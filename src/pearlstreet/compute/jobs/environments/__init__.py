"""Locked Python environments of jobs: what goes in, how it is built, what it adds at run time."""
