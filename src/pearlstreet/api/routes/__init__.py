"""One module per noun; `ROUTERS` in api.app lists them."""
