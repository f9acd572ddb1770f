"""Attempts of any owner on engines: placed, started, watched, metered, stopped and collected.

An attempt belongs to an owner, known by its kind and id: a job, an environment build. The owner says what the attempt runs and
what its end means (`owners`); everything between is the same for all.
"""
