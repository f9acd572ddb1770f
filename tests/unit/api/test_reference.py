"""The reference pages say what the routes and the errors do."""

from __future__ import annotations

from pathlib import Path

from pearlstreet.api.app import all_routes
from pearlstreet.api.problem import TITLES
from pearlstreet.api.reference import api_page, errors_page
from pearlstreet.client.reference import client_page

DOCS = Path(__file__).parents[3] / "docs" / "reference"


def test_the_page_of_the_api_is_the_one_the_routes_make() -> None:
    assert (DOCS / "api.md").read_text(encoding="utf-8") == api_page(), (
        "run: python -m pearlstreet.api.reference api > docs/reference/api.md"
    )
    for route in all_routes():
        assert f"| {route.method} | `{route.path}` |" in api_page()
        assert route.summary.endswith("."), route


def test_the_page_of_the_client_is_the_one_its_docstrings_make() -> None:
    assert (DOCS / "client.md").read_text(encoding="utf-8") == client_page(), "run: make reference"
    for line in ("client.jobs.submit(", "### Job\n", "### JobState\n"):
        assert line in client_page()


def test_the_page_of_errors_is_the_one_the_errors_make() -> None:
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == errors_page(), (
        "run: python -m pearlstreet.api.reference errors > docs/reference/errors.md"
    )
    for code in TITLES:
        assert f"`{code}`" in errors_page()
