"""The unmodified official clients against a live server; `make hub-clients` installs them."""
