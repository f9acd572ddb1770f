"""Charts as SVG, drawn on the server: they need no script, take colours from the style sheet and have text for screen readers."""
