"""What goes wrong with a database, in the words callers know."""

import sqlite3

from sqlalchemy.exc import DBAPIError

FAULTS = (DBAPIError, sqlite3.Error)
"""What a database raises through SQLAlchemy, and SQLite past it."""

RESTORE = "restore a backup, see `Restore` in docs/operating.md"
"""What to do about a ledger that is damaged, or no ledger: no command mends one."""

_PERMISSIONS = "look at the permissions of the file and of its folder"
_REMEDIES = {
    "SQLITE_CORRUPT": RESTORE,
    "SQLITE_NOTADB": RESTORE,
    "SQLITE_CANTOPEN": _PERMISSIONS,
    "SQLITE_READONLY": _PERMISSIONS,
}


class LedgerUnavailable(Exception):  # noqa: N818 - a state of the ledger that callers answer, not a mistake of theirs
    """The ledger cannot be read or written now. The text is the database's reason and holds no value of any row.

    `may_be_done` says of a write that it may have been committed all the same, or may be yet.
    """

    may_be_done = False


class LedgerUnreachable(LedgerUnavailable):
    """The ledger's server cannot be reached, or not yet: worth trying again as it is."""


def unavailable(error: BaseException) -> LedgerUnavailable:
    """The database's fault, as callers know it, and where it is known what to do about it.

    SQLAlchemy's own text quotes parameters, so the driver's is used. PostgreSQL's first line is its
    reason; the lines below it quote rows.
    """
    cause = driver_error(error)
    reason = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause).partition("\n")[0]
    remedy = _REMEDIES.get("_".join(getattr(cause, "sqlite_errorname", "").split("_")[:2]))
    return LedgerUnavailable(f"{reason}: {remedy}" if remedy else reason)


def driver_error(error: BaseException) -> BaseException:
    """What the driver itself raised."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
