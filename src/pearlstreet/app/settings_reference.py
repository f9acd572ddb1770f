"""`python -m pearlstreet.app.settings_reference`: docs/reference/settings.md, written from the settings themselves."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from pearlstreet.app import health
from pearlstreet.app.settings import RANGES, TABLES, Settings
from pearlstreet.base.attribute_docs import attribute_docs
from pearlstreet.compute.engines.registry import ENGINES
from pearlstreet.compute.queueing.policy.model import (
    QUEUE_SETTINGS,
    RANK_MAX,
    SETTINGS,
    bounds,
    choices,
    is_list,
)
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.objects import configured as objects
from pearlstreet.tenancy import oidc_settings
from pearlstreet.tenancy.notices import mail
from pearlstreet.tenancy.notices.channel_registry import CHANNEL_KINDS

_HEAD = """\
# Settings 设置

Written by `python -m pearlstreet.app.settings_reference`; a test fails when it is not current.

A center reads its settings when it starts, from four places; a later one overrides an earlier one:

1. the defaults below;
2. the file `pearl.toml` in the data folder;
3. environment variables: `PEARL_` and the key in capitals (`PEARL_LISTEN`, `PEARL_KEPT_DAYS`), except for tables;
4. options of `pearl up`, where there is one (`--listen`, `--port`; see [commands](cli.md)).

The data folder is `--data`, else `PEARL_DATA`, else `$XDG_DATA_HOME/pearlstreet`, else `~/.local/share/pearlstreet`. There is no
`pearl.toml` until you write one; make it readable by the center's user only when it holds a password:

```toml
# ~/.local/share/pearlstreet/pearl.toml
name = "river-center"
listen = "0.0.0.0"
tls_cert = "/etc/pearl/cert.pem"
tls_key = "/etc/pearl/key.pem"
kept_days = 14

[mail]
host = "mail.example.com"
from = "pearl@example.com"
```

An unknown key, or a value outside its range, stops the start with a message that names the key and the place. A change takes effect at
the next start; `[scheduling]` holds until an operator sets a policy at run time.

Some variables are no settings and stand in no file: `PEARL_SECRET_KEY` (the key that seals secrets, instead of `secret.key` in the data
folder), `PEARL_MAIL_PASSWORD` (the password of the mail server), `PEARL_OBJECTS_KEY_ID` and `PEARL_OBJECTS_SECRET` (of the S3 bucket). Variables of the command line are listed in [commands](cli.md).
"""
_TABLE = "| key | type | default | range | what |\n|---|---|---|---|---|"


def settings_page() -> str:
    """docs/reference/settings.md as it must be."""
    return "\n".join([_HEAD, "## Keys\n", _TABLE, *_keys(), "", *_tables()]) + "\n"


def _keys() -> Iterator[str]:
    docs, hints = attribute_docs(Settings), get_type_hints(Settings)
    for item in dataclasses.fields(Settings):
        if item.name not in ("data", *TABLES):
            limits = RANGES.get(item.name)
            yield _row(item.name, _type(hints[item.name]), item.default, limits, docs[item.name])


def _tables() -> Iterator[str]:
    docs = attribute_docs(Settings)
    yield f"## `[scheduling]`\n\n{docs['scheduling']} See [scheduling policy](../guides/scheduling-policy.md).\n"
    yield from [_TABLE, *_scheduling(), ""]
    yield "### `[scheduling.queues.NAME]`\n\nA named queue; what it does not set is as in `[scheduling]`.\n"
    yield from [_TABLE, *_queue(), ""]
    yield f"## `[mail]`\n\n{docs['mail']} See [notices](../guides/notices.md).\n"
    yield from [*_described(mail.KEYS), ""]
    yield f"## `[notices.NAME]`\n\n{docs['notices']} See [notices](../guides/notices.md).\n"
    yield "`kind` names the kind of the channel; left out, it is NAME. [Plugins](../guides/plugins.md) add kinds.\n"
    for channel in CHANNEL_KINDS.values():
        yield from [
            f'### `kind = "{channel.name}"`\n\n{channel.summary}.\n',
            *_described(channel.options),
            "",
        ]
    yield f"## `[health]`\n\n{docs['health']} See [node health](../guides/node-health.md).\n"
    yield from [*_described(health.KEYS), ""]
    yield f"## `[objects]`\n\n{docs['objects']} See [storage](../guides/storage.md).\n"
    yield from [*_described(objects.KEYS), ""]
    yield f"## `[engines.NAME]`\n\n{docs['engines']} See [several engines](../guides/engines.md).\n"
    yield "`kind` names the kind of the engine; left out, it is NAME.\n"
    for kind in ENGINES.values():
        yield from [f'### `kind = "{kind.name}"`\n\n{kind.summary}.\n', *_described(kind.options), ""]
    yield f"## `[oidc.NAME]`\n\n{docs['oidc']} See [sign-in](../guides/sign-in.md).\n"
    yield from [*_described(oidc_settings.KEYS), ""]
    yield f"## `[uv]`\n\n{docs['uv']} Every value is text; none is set by default."


def _scheduling() -> Iterator[str]:
    docs = attribute_docs(PlannerConfig)
    defaults = PlannerConfig()
    for name in SETTINGS:
        yield _policy_row(name, getattr(defaults, name), docs[name])
    yield _row(
        "default_queue", "text", "default", None, "Name of the queue of jobs that name none; it must exist."
    )


def _queue() -> Iterator[str]:
    yield _row("rank", "whole number", 0, (-RANK_MAX, RANK_MAX), "Queues of a lower rank are planned first.")
    yield _row("title", "text", "", None, "Title of the queue for people.")
    yield _row(
        "engines",
        "list of names",
        None,
        None,
        "Engines whose nodes alone run its jobs. Without it: all engines.",
    )
    for name in QUEUE_SETTINGS:
        yield _policy_row(name, None, "As the key of the same name in `[scheduling]`.")


def _policy_row(name: str, default: object, what: str) -> str:
    names = choices(name)
    if names:
        return _row(name, "name", default, None, f"{what} One of {', '.join(f'`{item}`' for item in names)}.")
    kind = "list of numbers" if is_list(name) else _type(get_type_hints(PlannerConfig)[name])
    return _row(name, kind, default, bounds(name), what)


def _described(keys: Mapping[str, str]) -> Iterator[str]:
    yield "| key | what |\n|---|---|"
    for key, what in keys.items():
        yield f"| `{key}` | {what} |"


def _row(name: str, kind: str, default: object, limits: tuple[float, float] | None, what: str) -> str:
    span = "" if limits is None else f"{_number(limits[0])} to {_number(limits[1])}"
    return f"| {' | '.join((f'`{name}`', kind, _value(default), span, what))} |"


def _type(hint: Any) -> str:
    kinds = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return "path" if hint == Path | None else kinds[hint]


def _value(value: Any) -> str:
    """Return a default as it would stand in the file; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"`{_number(value)}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _number(value: float) -> str:
    return f"{value:,.12g}".replace(",", "_")


if __name__ == "__main__":
    sys.stdout.write(settings_page())
