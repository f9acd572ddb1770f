"""Message templates of the console's pages: the literals given to t() and tn() in its HTML."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, nodes
from tests.tidy.messages import Message
from tests.tidy.source import SRC

FOLDER = SRC / "console" / "templates"
TEMPLATES_OF = {"t": 1, "tn": 2}
"""Number of templates that a function of the pages is given."""


def page_messages() -> list[Message]:
    """Return every t("…") and tn("…", "…", count) of every page."""
    return [
        Message(f"{path}:{call.lineno}", templates[0], _given(call), *templates[1:])
        for path, call in _calls()
        if (templates := _templates(call))
    ]


def untraceable_in_pages() -> list[str]:
    """Return the calls of t() and tn() with something else than literals."""
    return [f"{path}:{call.lineno}" for path, call in _calls() if not _templates(call)]


def _calls() -> Iterator[tuple[str, nodes.Call]]:
    environment = Environment(autoescape=True)
    for file in sorted(FOLDER.glob("*.html")):
        for call in environment.parse(file.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in TEMPLATES_OF and call.args:
                yield f"console/templates/{file.name}", call


def _templates(call: nodes.Call) -> list[str]:
    values = call.args[: TEMPLATES_OF[call.node.name]]
    constants = [str(value.value) for value in values if isinstance(value, nodes.Const)]
    return constants if len(constants) == TEMPLATES_OF[call.node.name] else []


def _given(call: nodes.Call) -> frozenset[str] | None:
    if call.dyn_kwargs is not None:
        return None
    count = {"count"} if call.node.name == "tn" else set()
    return frozenset({word.key for word in call.kwargs} | count)
