"""The example package brings tests of its own, which run where it is installed: `test_plugins.py` runs them."""

collect_ignore = ["example"]
