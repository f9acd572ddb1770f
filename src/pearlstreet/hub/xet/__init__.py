"""Xet storage: files as chunks in xorbs, as the official clients upload them; every hash is recomputed here."""
