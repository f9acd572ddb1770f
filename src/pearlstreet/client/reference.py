"""`python -m pearlstreet.client.reference`: docs/reference/client.md, written from the client's docstrings."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_origin, is_typeddict

from pearlstreet.base.attribute_docs import attribute_docs
from pearlstreet.client import results
from pearlstreet.client.client import Client
from pearlstreet.client.noun import Noun

_HEAD = """\
# Python client Python 客户端

Written by `python -m pearlstreet.client.reference`; a test fails when it is not current. The client comes with Pearlstreet (`pip
install` of this repository); it needs Python 3.11.

```python
from pathlib import Path

from pearlstreet import ApiError, Client

with Client() as client:  # as `pearl login`, or PEARL_URL and PEARL_KEY, say
    job = client.jobs.submit({"command": ["python", "train.py"], "files": ["train.py"]}, folder=Path("."))
    job = client.jobs.wait(job["id"])
    print(job["state"], client.jobs.cost(job["id"])["total"])
    try:
        client.jobs.get("job_unknown")
    except ApiError as error:
        print(error.code, error.message, error.hint)
```

- **Which center, as whom**: `Client()` takes address, key and certificate authority from `PEARL_URL`, `PEARL_KEY` and
  `PEARL_CA`, else from the profile that `pearl login` saved (`PEARL_PROFILE` names another one). `Client(url, key)` takes nothing from there.
- **Results** are dictionaries with known keys: every method names the type of its result, listed [below](#results). Times
  are RFC 3339 text in UTC, amounts of money exact decimal text in yuan. Import the types from `pearlstreet.client.results`.
- **Lists** of any length are iterators that read page by page.
- **Errors** all are `PearlError`, with `message`, `hint` and `problems`: `ApiError` is what the center answered
  (`status` and `code` as in [errors](errors.md)), `Unreachable` says that no center answers, `NotSignedIn` that there is no key, `InvalidInput` that a
  local path does not exist. They can be imported from `pearlstreet`.
- **Repeating**: what is safe is repeated by itself, writes under one `Idempotency-Key`.
"""


def client_page() -> str:
    """docs/reference/client.md as it must be."""
    client = Client("http://127.0.0.1:7420", "key")
    nouns = [(name, thing) for name, thing in vars(client).items() if isinstance(thing, Noun)]
    parts = [
        _HEAD,
        "## Client\n",
        f"{inspect.getdoc(Client)}\n",
        f"```python\n{_signature('Client', Client.__init__)}\n```\n",
        *_methods("client", Client),
    ]
    for name, noun in nouns:
        parts += [
            f"## client.{name}\n",
            f"{inspect.getdoc(type(noun))}\n",
            *_methods(f"client.{name}", type(noun)),
        ]
    return "\n".join([*parts, "## Results\n", *_results()]) + "\n"


def _methods(prefix: str, cls: type) -> Iterator[str]:
    for name, method in vars(cls).items():
        if not name.startswith("_") and inspect.isfunction(method):
            yield f"```python\n{_signature(f'{prefix}.{name}', method)}\n```\n\n{inspect.getdoc(method)}\n"


def _signature(name: str, method: Any) -> str:
    """Return the call with one parameter a line where it is long."""
    signature = inspect.signature(method)
    given: list[str] = []
    for item in list(signature.parameters.values())[1:]:
        if item.kind is item.KEYWORD_ONLY and "*" not in given:
            given.append("*")
        given.append(_parameter(item))
    returned = "" if name == "Client" else f" -> {_annotation(signature.return_annotation)}"
    line = f"{name}({', '.join(given)}){returned}"
    return line if len(line) <= 110 else f"{name}(\n    " + ",\n    ".join(given) + f",\n){returned}"


def _parameter(item: inspect.Parameter) -> str:
    stars = "**" if item.kind is item.VAR_KEYWORD else ""
    default = "..." if callable(item.default) else repr(item.default).replace("'", '"')
    value = "" if item.default is item.empty else f" = {default}"
    return f"{stars}{item.name}: {_annotation(item.annotation)}{value}"


def _annotation(written: str) -> str:
    """Return an annotation as a reader would write it; annotations are text here."""
    return written.replace("results.", "").replace("Rows[", "list[")


def _results() -> Iterator[str]:
    for name, kind in vars(results).items():
        if name.startswith("_") or name in ("Any", "Literal", "NotRequired", "TypedDict", "annotations"):
            continue
        if is_typeddict(kind):
            yield f"### {name}\n\n{inspect.getdoc(kind)}\n\n| key | type | what |\n|---|---|---|"
            docs = attribute_docs(kind)
            for key, written in kind.__annotations__.items():
                shown = written.__forward_arg__ if hasattr(written, "__forward_arg__") else str(written)
                yield f"| `{key}` | `{_cell(shown)}` | {_cell(docs.get(key, ''))} |"
            yield ""
        elif get_origin(kind) is not None:
            yield f"### {name}\n\nOne of {', '.join(f'`{value}`' for value in kind.__args__)}.\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(client_page())
