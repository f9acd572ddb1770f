"""The values of the package `hub`, and its errors with the codes that the Hugging Face protocol gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from pearlstreet.base.errors import Conflict, Forbidden, NotFound

MAIN = "main"
"""Name of the branch that every repository has."""
CARD_FILE = "README.md"
"""Path of the card of a repository."""


class RepoKind(StrEnum):
    """Type of a repository."""

    MODEL = "model"
    DATASET = "dataset"
    RECIPE = "recipe"


class Visibility(StrEnum):
    """Group of accounts that may see a repository."""

    PUBLIC = "public"
    """Every account of the center."""
    ORGANISATIONS = "organisations"
    """Members of its organisation and of the organisations it is shared with."""
    PRIVATE = "private"
    """Members of its organisation."""


class Gate(StrEnum):
    """Approval that accounts outside of the organisation need before they get files."""

    NONE = ""
    AUTO = "auto"
    """Every request is accepted at once; it records who accepted the licence."""
    MANUAL = "manual"
    """A person with the role `admin` decides."""


class RepoRole(StrEnum):
    """Role of one person in one repository."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class RequestState(StrEnum):
    """State of a request for access to a gated repository."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class RefKind(StrEnum):
    """Type of a reference to a commit."""

    BRANCH = "branch"
    TAG = "tag"


class RepoNotFound(NotFound):
    """The repository does not exist, or the caller may not know that it does."""

    hub_code: ClassVar[str] = "RepoNotFound"


class RevisionNotFound(NotFound):
    """The repository has no such branch, tag or commit."""

    hub_code: ClassVar[str] = "RevisionNotFound"


class EntryNotFound(NotFound):
    """The revision has no such file or folder."""

    hub_code: ClassVar[str] = "EntryNotFound"


class AccessRequired(Forbidden):
    """The repository is gated, and the caller's request for access was not accepted."""

    hub_code: ClassVar[str] = "GatedRepo"


class StaleParent(Conflict):
    """The branch has moved beyond the commit that the caller started from."""

    status: ClassVar[int] = 412


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository. `full_name` is `organisation/name`."""

    id: str
    org_id: str
    project_id: str
    kind: RepoKind
    full_name: str
    visibility: Visibility
    gate: Gate
    gate_days: int | None
    """Days for which an accepted request gives access; None: without end."""
    jobs_only: bool
    """Whether only its administrators may download files; others use them in jobs of approved projects."""
    card: Mapping[str, object]
    """Front matter of the card on `main`."""
    size_bytes: int
    """Size of all different files of all revisions."""
    downloads: int
    created_by: str
    created_us: int
    updated_us: int
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the files of the newest commit on `main` hold: parameters of the weights, pickles; empty until they are looked into."""


@dataclass(frozen=True, slots=True)
class Access:
    """Rights of one caller in one repository; each includes those before it, except that `download` may be withheld."""

    see: bool = False
    """May see that it exists, its card, history and list of files."""
    download: bool = False
    write: bool = False
    admin: bool = False


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a revision."""

    path: str
    sha256: str
    size_bytes: int
    git_oid: str
    """Git's SHA-1 of the file as a blob, for small text files; empty for large files."""
    commit_number: int = 0
    """Number of the commit that last changed the file."""

    @property
    def is_large(self) -> bool:
        """Whether clients see the file as a large (LFS) file, identified by its SHA-256."""
        return not self.git_oid


@dataclass(frozen=True, slots=True)
class Commit:
    """One revision of a repository."""

    id: str
    number: int
    parent_id: str | None
    title: str
    message: str
    author: str
    at_us: int
    files: int
    size_bytes: int
    producer: Mapping[str, object] | None = None
    """What made the revision: a `job` with its facts, or an `import` with the id that the commit had and the login that imported it."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or tag."""

    kind: RefKind
    name: str
    commit_id: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of one commit: files by path, and paths of files and folders to delete."""

    files: Mapping[str, TreeEntry] = field(default_factory=dict)
    deleted_files: frozenset[str] = frozenset()
    deleted_folders: frozenset[str] = frozenset()
    copies: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """New path → (revision, path) whose content it gets."""
