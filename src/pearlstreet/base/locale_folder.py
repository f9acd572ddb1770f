"""Where the translations are."""

from __future__ import annotations

from pathlib import Path

LOCALE = Path(__file__).resolve().parent.parent / "locale"
"""Folder with one folder for each language."""
COMPILED = "pearlstreet.mo"
"""File name of the compiled catalogue of a language."""
