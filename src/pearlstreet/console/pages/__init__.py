"""One module a page, or a few that belong together. Each has PAGES; console/registry.py lists the modules."""
