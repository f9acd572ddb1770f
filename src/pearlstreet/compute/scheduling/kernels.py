"""Inner loops, compiled by numba where it is installed; without it NumPy gives the same decisions.

A module of kernels decorates its functions with `jit` and is imported only once `worthwhile` says so: an idle server then
pays nothing for a compiler. What is compiled is kept beside the source, or in the user's cache folder where that is
read-only, or nowhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])
Mode = Literal["auto", "never", "always"]

LOAD_WORK = 5_000_000
"""Units of work (each about 0.2 µs in NumPy and 5 ns compiled) beyond which loading the compiler pays."""


class _Choice:
    """How this process runs its kernels, and the amount of work they have had."""

    def __init__(self) -> None:
        self.mode: Mode = "auto"
        self.work = 0
        self.installed: bool | None = None


_CHOICE = _Choice()


def jit(function: F) -> F:
    """Return the function, compiled when first called; as it is where numba is not installed."""
    return _compiled(function, {})


def inner_jit(function: F) -> F:
    """Compile like `jit` a function that only compiled functions call: without wrappers, which would take longer than the function."""
    return _compiled(function, {"no_cpython_wrapper": True, "no_cfunc_wrapper": True})


def _compiled(function: F, options: Mapping[str, bool]) -> F:
    if not installed():
        return function
    njit: Any = importlib.import_module("numba").njit
    try:
        return cast(F, njit(cache=True, **options)(function))
    except RuntimeError:  # no folder to keep it in
        return cast(F, njit(**options)(function))


def installed() -> bool:
    """Return whether numba can be imported here."""
    if _CHOICE.installed is None:
        _CHOICE.installed = importlib.util.find_spec("numba") is not None
    return _CHOICE.installed


def worthwhile(work: int) -> bool:
    """Return whether to run `work` more units compiled: when numba is loaded, or there was enough work to load it for."""
    if _CHOICE.mode == "never" or not installed():
        return False
    _CHOICE.work += work
    return _CHOICE.mode == "always" or _CHOICE.work > LOAD_WORK or "numba" in sys.modules


@contextmanager
def using(mode: Mode) -> Iterator[None]:
    """Force compiled or plain kernels inside a `with` block: for tests and benchmarks."""
    before, _CHOICE.mode = _CHOICE.mode, mode
    try:
        yield
    finally:
        _CHOICE.mode = before
