"""One module per noun; api.app finds the routers of every module here."""
