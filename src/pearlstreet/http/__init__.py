"""Limits of HTTP servers on their clients: connections, requests, streams. Shared by every interface that listens."""
