"""Owner names in responses about rows of organisations and projects, beside the ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from pearlstreet.store.core import Store
from pearlstreet.tenancy.directory import owner_names


class Owned(Protocol):
    """A row of an organisation, or of a project when `project_id` is set."""

    @property
    def org_id(self) -> str | None: ...

    @property
    def project_id(self) -> str | None: ...


R = TypeVar("R", bound=Owned)


def with_owners(
    store: Store, rows: Sequence[R], render: Callable[[R], Mapping[str, object]]
) -> list[dict[str, object]]:
    """Return the rendered rows, each with `owner` (`acme` or `acme/vision`) and `owner_id` (of the project, else the organisation)."""
    names = owner_names(store, ((row.org_id, row.project_id) for row in rows))
    return [
        {
            **render(row),
            "owner": names[row.org_id, row.project_id],
            "owner_id": row.project_id or row.org_id or "",
        }
        for row in rows
    ]


def with_owner(store: Store, row: R, render: Callable[[R], Mapping[str, object]]) -> dict[str, object]:
    """Return one rendered row with `owner` and `owner_id`."""
    return with_owners(store, [row], render)[0]
