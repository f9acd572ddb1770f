"""Message templates of the console's pages: what is given to t() in its HTML."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, nodes
from tests.tidy.messages import Message
from tests.tidy.source import SRC

FOLDER = SRC / "console" / "templates"


def page_messages() -> list[Message]:
    """Every t("…") of every page."""
    return [
        Message(f"{path}:{call.lineno}", str(call.args[0].value), _given(call))
        for path, call in _calls()
        if isinstance(call.args[0], nodes.Const)
    ]


def untraceable_in_pages() -> list[str]:
    """Calls of t() with something else than a literal."""
    return [f"{path}:{call.lineno}" for path, call in _calls() if not isinstance(call.args[0], nodes.Const)]


def _calls() -> Iterator[tuple[str, nodes.Call]]:
    environment = Environment(autoescape=True)
    for file in sorted(FOLDER.glob("*.html")):
        for call in environment.parse(file.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t" and call.args:
                yield f"console/templates/{file.name}", call


def _given(call: nodes.Call) -> frozenset[str] | None:
    return None if call.dyn_kwargs is not None else frozenset(word.key for word in call.kwargs)
