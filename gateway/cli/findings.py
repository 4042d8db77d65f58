"""What `doctor` finds: one line per check, and what to do where something is wrong."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out; `fail` alone makes the exit status 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `remedy` says what to do, and is empty where there is nothing to be done. Neither holds a secret."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """It works, and will not for ever or not as meant."""
    return Finding(check, Verdict.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, Verdict.FAIL, text, remedy)


def skip(check: str, text: str) -> Finding:
    """There was nothing to check."""
    return Finding(check, Verdict.SKIP, text)
