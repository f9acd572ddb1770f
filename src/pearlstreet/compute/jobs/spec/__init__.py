"""What a job asks for: its values, how they are read from YAML and JSON, and their published schema. Pure."""
