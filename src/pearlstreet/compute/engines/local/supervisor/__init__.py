"""The process that watches one attempt. Standard library only: it is run by file path, in isolated mode, so as to start fast.

What is only good for type checkers (typing) or costs more than it brings (pathlib, subprocess) is not imported.
"""
