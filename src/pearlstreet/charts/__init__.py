"""Charts as SVG made on the server: no script needed, themed by the style sheet, readable by screen readers."""
