"""The process that supervises one attempt. It runs by file path in isolated mode and imports the standard library only.

To start fast it does not import modules for type checkers (typing) or slow ones (pathlib, subprocess).
"""
