"""Limits that HTTP servers set to their clients: connections, requests, streams. Shared by the API and the console."""
