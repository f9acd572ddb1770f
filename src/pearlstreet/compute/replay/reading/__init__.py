"""Readers of traces, one file a format: lines of text in, jobs out, one at a time."""
