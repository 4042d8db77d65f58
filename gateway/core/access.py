"""What a caller may do at all: whether its key is good, the key's scopes, and the models its team is allowed.

Listing and calling ask the same function, so a model is listed exactly when a create of it would not be refused for
its name.
"""

import re
import unicodedata
from fnmatch import translate
from functools import lru_cache

from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller, Key, PolicySet, Scope, Team

# A member read through its class costs as much as a call; these are read for every call.
_JOBS, _JOBS_READ = Scope.JOBS, Scope.JOBS_READ

_LONGEST_MODEL = 256
_WHAT_MAY_BE_USED = "GET …/models lists what it may use"


def refusal_of_unknown_key() -> Refusal:
    """The key is nobody's, or nobody's any more: 401 either way."""
    return Refusal(Code.KEY_INVALID, "This key is not a team key of this gateway; ask your platform team for one.")


def check_expiry(key: Key, now: float) -> None:
    """Refusal 401 from the instant of expiry on."""
    if key.has_expired(now):
        raise Refusal(Code.KEY_EXPIRED, f"The key {key.name!r} has expired; ask your platform team for a new one.")


def caller_again(policy: PolicySet, caller: Caller, now: float) -> Caller:
    """The caller of an earlier policy as this one has it. Refusal 401 if its key is not good any more."""
    again = policy.callers.get(caller.key.digest)
    if again is None:
        raise refusal_of_unknown_key()
    check_expiry(again.key, now)
    if again.team.name != caller.team.name:
        raise Refusal(Code.KEY_INVALID, "This key has been given to another team; ask again.")
    return again


def may_call(key: Key, scope: Scope) -> bool:
    """Whether the key's scopes cover `scope`; `jobs` covers `jobs:read`."""
    return scope in key.scopes or (scope is _JOBS_READ and _JOBS in key.scopes)


def check_scope(key: Key, scope: Scope) -> None:
    """Refuse a call that the key's scopes do not cover: 403 `scope_denied`."""
    if not may_call(key, scope):
        raise Refusal(
            Code.SCOPE_DENIED,
            f"The key {key.name!r} lacks the scope {scope.value!r}; ask your platform team for one that has it.",
        )


def matches(globs: tuple[str, ...], model: str) -> bool:
    """Whether any of the globs is the whole of `model`: `*` is any run of characters, `?` any one; case counts."""
    return _pattern(globs).fullmatch(model) is not None


@lru_cache(maxsize=4096)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """All globs as one pattern. `[` means itself; the translation never tries a run of characters twice."""
    alternatives = [translate(glob.replace("[", "[[]")) for glob in globs]
    return re.compile("|".join(alternatives) or r"(?!)")


def is_fair(policy: PolicySet, model: str) -> bool:
    """Whether creates of the model that wait for upstream are let through team by team. The first match says."""
    return next((each.fair for each in policy.queueing if matches(each.models, model)), False)


def may_use(team: Team, model: str) -> tuple[bool, str]:
    """Whether the team may use `model`, and why, in words. Some allow must match and no deny: deny wins."""
    if not is_model_id(model):
        return False, "This is not a model id: ids are printable text of at most 256 characters, written exactly."
    denied_by = _first_match(team.deny, model)
    if denied_by is not None:
        return False, f"Team {team.name} is denied {model} by `{denied_by}`; {_WHAT_MAY_BE_USED}."
    allowed_by = _first_match(team.allow, model)
    if allowed_by is None:
        return False, f"Team {team.name} is not allowed {model}; {_WHAT_MAY_BE_USED}."
    return True, f"{model} is allowed by `{allowed_by}`."


def _first_match(globs: tuple[str, ...], model: str) -> str | None:
    if not matches(globs, model):
        return None
    return next(glob for glob in globs if matches((glob,), model))


def is_model_id(text: str) -> bool:
    """Whether the text could be a model's id.

    What another program might trim, fold or normalise into an id (spaces around it, control characters, full-width or
    decomposed letters) is none, so that `Veo3*` cannot be widened by it.
    """
    return (
        0 < len(text) <= _LONGEST_MODEL
        and text.isprintable()
        and text == text.strip()
        and unicodedata.is_normalized("NFKC", text)
    )
