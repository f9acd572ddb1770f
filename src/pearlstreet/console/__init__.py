"""The console: pages for people in a browser. It parses, authorises, calls one service and renders; nothing else."""
