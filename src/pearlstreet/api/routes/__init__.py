"""One module a noun; `DOORS` in api.app lists them."""
