"""Errors named by the reaction they need."""

from __future__ import annotations


class HeatDispatchError(Exception):
    """Base of every error of ours."""


class Retryable(HeatDispatchError):
    """Try again after `after_s` seconds."""

    def __init__(self, message: str, after_s: float = 1.0) -> None:
        """Keep the message and the wait."""
        super().__init__(message)
        self.after_s = after_s


class Permanent(HeatDispatchError):
    """Will not work by trying again."""


class Misconfigured(HeatDispatchError):
    """The user can mend it: `where` names file, line and field, `expected` what would be right. Exit code 2."""

    def __init__(self, message: str, *, where: str = "", expected: str = "") -> None:
        """Keep what, where and what was expected."""
        super().__init__(": ".join(part for part in (where, message) if part) + (f" (expected {expected})" if expected else ""))
        self.where = where
        self.expected = expected
