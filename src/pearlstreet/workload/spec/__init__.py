"""PURE: the job specification: its values, the parsers for YAML and JSON, and its published JSON Schema."""
