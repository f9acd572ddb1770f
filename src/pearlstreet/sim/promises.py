"""How a step of a world can end early. BaseExceptions: the product's own nets for errors must not catch them."""

from __future__ import annotations


class Crash(BaseException):
    """A server died here. Caught where its process began the work."""

    def __init__(self, server: str, where: str) -> None:
        super().__init__(f"{server} died {where}")
        self.server = server


class Violation(BaseException):
    """A promise of the center was seen broken: the end of the run."""

    def __init__(self, rule: str, details: str) -> None:
        super().__init__(f"{rule}: {details}")
        self.rule, self.details = rule, details


def must(holds: object, rule: str, details: object) -> None:
    """Raise Violation unless the rule holds."""
    if not holds:
        raise Violation(rule, str(details))
