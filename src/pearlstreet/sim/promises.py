"""Exceptions that end a step of a world early; BaseExceptions, so that the product's error handling cannot catch them."""

from __future__ import annotations


class Crash(BaseException):
    """A server died here. `World.on` catches it, where the server's work began."""

    def __init__(self, server: str, where: str) -> None:
        super().__init__(f"{server} died {where}")
        self.server = server


class Violation(BaseException):
    """An invariant of the center was violated; this ends the run."""

    def __init__(self, rule: str, details: str) -> None:
        super().__init__(f"{rule}: {details}")
        self.rule, self.details = rule, details


def must(holds: object, rule: str, details: object) -> None:
    """Raise Violation unless the rule holds."""
    if not holds:
        raise Violation(rule, str(details))
