"""What changes in effect from one set of policies to another: for each team with defaults and overrides taken in."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.cli.policy_words import (
    credential_text,
    key_text,
    limit_text,
    notify_text,
    price_text,
    rule_text,
    uploads_text,
    webhooks_text,
)
from gateway.core.access import may_use
from gateway.core.policy import Limit, PolicySet, Team


class Kind(StrEnum):
    """Which way something changed."""

    GAINED = "gained"
    LOST = "lost"
    RAISED = "raised"
    LOWERED = "lowered"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `team` is empty for what holds for all; `subject` is the rule, named as `explain` names it.

    `before` and `after` are None where there was or is nothing.
    """

    team: str
    subject: str
    kind: Kind
    before: str | None
    after: str | None

    @property
    def text(self) -> str:
        """Both in one line."""
        if self.before is None or self.after is None or self.subject == "model":
            return self.after or self.before or ""
        if self.before == self.after:
            return f"{self.after}, with another value"
        return f"{self.after}; was {self.before}"


@dataclass(frozen=True, slots=True)
class Times:
    """When the comparison is made: overrides and keys end."""

    now: float
    timezone: str


def changes_between(old: PolicySet, new: PolicySet, catalogue: Collection[str] | None, now: float) -> list[Change]:
    """Every change, what holds for all first, then by team. `catalogue` are the model ids known, None for none."""
    found = [*_of_credentials(old, new), *_of_prices(old, new)]
    found += _of_value("", "unpriced", str(old.unpriced), str(new.unpriced))
    found += _of_value("", "queueing", _queueing(old), _queueing(new))
    for name in sorted(old.teams.keys() | new.teams.keys()):
        if name not in new.teams:
            keys = ", ".join(key.name for key in old.teams[name].keys)
            found.append(Change(name, "team", Kind.LOST, f"gone with its keys: {keys or 'none'}", None))
            continue
        if name not in old.teams:
            found.append(Change(name, "team", Kind.GAINED, None, "new"))
        found += _of_team(old.teams.get(name, Team(name)), new.teams[name], catalogue, now)
    return found


def _queueing(policy: PolicySet) -> str:
    entries = (f"{', '.join(each.models)} {'fair' if each.fair else 'not fair'}" for each in policy.queueing)
    return "; ".join(entries) or "none"


def _of_team(old: Team, new: Team, catalogue: Collection[str] | None, now: float) -> Iterator[Change]:
    """Field by field. One that nobody has taught to speak is named all the same."""
    times = Times(now, new.timezone)
    yield from _of_models(old, new, catalogue)
    for name in (field.name for field in dataclasses.fields(Team)):
        if name in _WITHOUT_EFFECT:
            continue
        compare = _COMPARISONS.get(name)
        if compare is not None:
            yield from compare(old, new, times)
        elif getattr(old, name) != getattr(new, name):
            yield Change(new.name, name, Kind.CHANGED, "the section", "the section")


_WITHOUT_EFFECT = ("name", "description")


def _of_models(old: Team, new: Team, catalogue: Collection[str] | None) -> Iterator[Change]:
    """Models gained, then those lost, in the words of the rule that decides."""
    for kind in (Kind.GAINED, Kind.LOST):
        for model in sorted(catalogue or ()):
            before, after = may_use(old, model), may_use(new, model)
            if before[0] != after[0] and after[0] is (kind is Kind.GAINED):
                yield Change(new.name, "model", kind, before[1], after[1])


def _of_limits(old: Team, new: Team, times: Times) -> Iterator[Change]:
    before, after = ({limit.name: limit for limit in team.limits} for team in (old, new))
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        texts = [None if limit is None else limit_text(limit, times.now, times.timezone) for limit in (one, other)]
        if texts[0] != texts[1]:
            yield Change(new.name, f"limit.{name}", _direction(one, other, times.now), texts[0], texts[1])


def _direction(old: Limit | None, new: Limit | None, now: float) -> Kind:
    if old is None or new is None:
        return Kind.GAINED if old is None else Kind.LOST
    same = all(getattr(old, name) == getattr(new, name) for name in ("unit", "period", "models", "per_key", "mode"))
    before, after = old.ceiling(now), new.ceiling(now)
    if not same or before == after:
        return Kind.CHANGED
    return Kind.RAISED if after > before else Kind.LOWERED


def _of_keys(old: Team, new: Team, times: Times) -> Iterator[Change]:
    before, after = ({key.name: key for key in team.keys} for team in (old, new))
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        texts = [None if key is None else key_text(key, times.now, times.timezone) for key in (one, other)]
        replaced = one is not None and other is not None and one.digest != other.digest
        if replaced:
            yield Change(new.name, f"key.{name}", Kind.CHANGED, texts[0], f"{texts[1]}, replaced by another key")
        elif texts[0] != texts[1]:
            yield Change(new.name, f"key.{name}", _kind(*texts), *texts)


def _of_payload(old: Team, new: Team, _: Times) -> Iterator[Change]:
    before, after = (_rules(team) for team in (old, new))
    for name in dict.fromkeys((*before, *after)):
        yield from _of_listing(new.name, f"payload.{name}", before.get(name, ()), after.get(name, ()))


def _rules(team: Team) -> Mapping[str, list[str]]:
    """By parameter, what each rule says of it and for which models."""
    found: dict[str, list[str]] = {}
    for each in team.payload:
        for rule in each.parameters:
            found.setdefault(rule.name, []).append(f"{rule_text(rule)}, for {', '.join(sorted(each.models))}")
    return found


def _of_credentials(old: PolicySet, new: PolicySet) -> Iterator[Change]:
    for name in sorted(old.credentials.keys() | new.credentials.keys()):
        one, other = old.credentials.get(name), new.credentials.get(name)
        if one != other:
            texts = [None if each is None else credential_text(each) for each in (one, other)]
            yield Change("", f"credential.{name}", _kind(*texts), *texts)


def _of_prices(old: PolicySet, new: PolicySet) -> Iterator[Change]:
    before, after = ([price_text(price) for price in policy.prices] for policy in (old, new))
    yield from _of_listing("", "price", before, after)
    if [each for each in before if each in after] != [each for each in after if each in before]:
        text = "the first match wins, and the order is another"
        yield Change("", "price", Kind.CHANGED, None, text)


def _of_listing(team: str, subject: str, before: Iterable[str], after: Iterable[str]) -> Iterator[Change]:
    """Entries that are gone, and those that are new, in their order."""
    gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
    yield from (Change(team, subject, Kind.LOST, text, None) for text in gone.elements())
    yield from (Change(team, subject, Kind.GAINED, None, text) for text in come.elements())


def _of_value(team: str, subject: str, before: str, after: str) -> Iterator[Change]:
    if before != after:
        yield Change(team, subject, Kind.CHANGED, before, after)


def _kind(before: str | None, after: str | None) -> Kind:
    if before is None:
        return Kind.GAINED
    return Kind.LOST if after is None else Kind.CHANGED


def _quoted(globs: Sequence[str]) -> list[str]:
    return [f"`{glob}`" for glob in globs]


def _of_webhooks(old: Team, new: Team, _: Times) -> Iterator[Change]:
    if old.webhooks != new.webhooks:
        before, after = webhooks_text(old.webhooks), webhooks_text(new.webhooks)
        yield Change(new.name, "webhooks", Kind.CHANGED, before, after)


def _of_notify(old: Team, new: Team, _: Times) -> Iterator[Change]:
    if old.notify != new.notify:
        yield Change(new.name, "notify", Kind.CHANGED, notify_text(old.notify), notify_text(new.notify))


_COMPARISONS: Mapping[str, Callable[[Team, Team, Times], Iterator[Change]]] = {
    "timezone": lambda old, new, _: _of_value(new.name, "timezone", old.timezone, new.timezone),
    "credential": lambda old, new, _: _of_value(new.name, "credential", old.credential, new.credential),
    "keys": _of_keys,
    "allow": lambda old, new, _: _of_listing(new.name, "models.allow", _quoted(old.allow), _quoted(new.allow)),
    "deny": lambda old, new, _: _of_listing(new.name, "models.deny", _quoted(old.deny), _quoted(new.deny)),
    "limits": _of_limits,
    "payload": _of_payload,
    "uploads": lambda old, new, _: _of_value(new.name, "uploads", uploads_text(old.uploads), uploads_text(new.uploads)),
    "duplicates_window": lambda old, new, _: _of_value(
        new.name, "duplicates", f"{old.duplicates_window:g} s", f"{new.duplicates_window:g} s"
    ),
    "charge_failed": lambda old, new, _: _of_value(
        new.name, "charge_failed", str(old.charge_failed).lower(), str(new.charge_failed).lower()
    ),
    "job_timeout": lambda old, new, _: _of_value(
        new.name, "job_timeout", f"{old.job_timeout:g} s", f"{new.job_timeout:g} s"
    ),
    "webhooks": _of_webhooks,
    "notify": _of_notify,
}
