"""Locked Python environments of jobs: contents, build command and run-time variables."""
