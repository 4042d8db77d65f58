"""The policy as values: what teams, keys, limits, prices and payload rules say, after parsing.

`gateway.core.parse` builds these from files and refuses what is wrong; nothing here can be invalid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from gateway.core.addresses import Target


class Scope(StrEnum):
    """What a key may call: `jobs` covers `jobs:read`."""

    MODELS = "models"
    JOBS = "jobs"
    JOBS_READ = "jobs:read"
    UPLOADS = "uploads"


DEFAULT_SCOPES = frozenset((Scope.MODELS, Scope.JOBS, Scope.UPLOADS))
"""What a key may call whose entry names no scopes."""

FILE_TYPES = ("png", "jpeg", "jpg", "mp4", "mp3", "wav")
"""The file types of GMI's `upload-url`."""


class Unit(StrEnum):
    """What a limit counts. USD amounts are micro-USD; seconds are seconds of video asked for."""

    REQUESTS = "requests"
    JOBS = "jobs"
    UPLOADS = "uploads"
    SECONDS = "seconds"
    USD = "USD"


class Period(StrEnum):
    """A calendar window in the team's time zone; `AT_ONCE` is a level, not a window."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    AT_ONCE = "at once"


class Mode(StrEnum):
    """`shadow` decides, counts and reports, and lets pass."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Key:
    """A team key, known by the SHA-256 of its text alone. `expires` is an instant; None never."""

    name: str
    digest: str
    expires: float | None = None
    scopes: frozenset[Scope] = DEFAULT_SCOPES

    def has_expired(self, now: float) -> bool:
        """Whether the key is refused by now: from the instant `expires` on."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True, slots=True)
class Override:
    """Until the instant `until`, a limit's amount is this one."""

    amount: int
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` of `unit` per `period`.

    `models` narrows it to model ids that match one of the globs (empty: all), `per_key` gives every key of the
    team its own. `warn` are percentages. The name is unique in the team.
    """

    name: str
    amount: int
    unit: Unit
    period: Period
    models: tuple[str, ...] = ()
    per_key: bool = False
    mode: Mode = Mode.ENFORCE
    warn: tuple[int, ...] = ()
    overrides: tuple[Override, ...] = ()

    def ceiling(self, now: float) -> int:
        """The amount in force: that of the first override not yet over, else the limit's own."""
        return next((override.amount for override in self.overrides if now < override.until), self.amount)


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """What one payload parameter may be. Numbers compare by value, so "8" and 8 are the same."""

    name: str
    required: bool = False
    forbidden: bool = False
    one_of: tuple[str | int | float | bool | None, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class PayloadRule:
    """The parameter rules for every model that matches one of the globs."""

    models: tuple[str, ...]
    parameters: tuple[ParameterRule, ...]


class Per(StrEnum):
    """What one price buys."""

    JOB = "job"
    SECOND = "second"
    IMAGE = "image"
    THOUSAND_CHARACTERS = "1k characters"


@dataclass(frozen=True, slots=True)
class Price:
    """`amount` micro-USD per `per`, for models matching a glob whose payload matches `when`.

    `quantity_field` names the payload parameter that says how many (`seconds:`, `images:`, `characters:` in the
    file); `default_quantity` holds where the payload has none.
    """

    models: tuple[str, ...]
    amount: int
    per: Per
    quantity_field: str | None = None
    default_quantity: int | float | None = None
    when: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queueing:
    """How creates wait for models that match a glob while upstream refuses them: `fair` lets teams through in turn."""

    models: tuple[str, ...]
    fair: bool = False


class Unpriced(StrEnum):
    """What a team with a USD limit gets for a job whose price nobody knows."""

    REFUSE = "refuse"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Uploads:
    """Which files a team may upload. With `relay` they go through the gateway, each at most `max_size` bytes, and so do
    the files that its jobs leave.
    """

    file_types: tuple[str, ...] = FILE_TYPES
    relay: bool = False
    max_size: int = 50 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """Where a secret is read: kind `env` (a variable's name), `file` (a path), or `text` (organisations only).

    `optional` says the gateway may start without it.
    """

    kind: str
    value: str = field(repr=False)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """An upstream key, and the organisation it acts for. The keys are tried in order, the next one on 401."""

    name: str
    api_keys: tuple[Source, ...]
    organization: Source | None = None


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The hosts a team's jobs may report to, and the secret that signs the reports."""

    hosts: tuple[str, ...]
    secret: Source


JOB_TIMEOUT = 24 * 3600.0
"""Seconds that a team's jobs have to end, unless its policy says otherwise."""


@dataclass(frozen=True)
class Team:
    """One team's whole policy, defaults already taken in.

    `duplicates_window` is in seconds, 0 merges nothing. `job_timeout` are the seconds after which a job without end
    frees its slot; its money is kept. `notify` is told when a limit is as full as it warns of.
    """

    name: str
    description: str = ""
    timezone: str = "UTC"
    credential: str = "default"
    keys: tuple[Key, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    payload: tuple[PayloadRule, ...] = ()
    uploads: Uploads = Uploads()
    duplicates_window: float = 0.0
    charge_failed: bool = False
    job_timeout: float = JOB_TIMEOUT
    webhooks: Webhooks | None = None
    notify: Target | None = None

    @cached_property
    def has_budget(self) -> bool:
        """Whether any limit counts money and would refuse."""
        return any(limit.unit is Unit.USD and limit.mode is Mode.ENFORCE for limit in self.limits)

    @cached_property
    def request_limits(self) -> tuple[Limit, ...]:
        """The limits every call on the public listener counts against."""
        return tuple(limit for limit in self.limits if limit.unit is Unit.REQUESTS)

    @cached_property
    def counts_requests_by_key(self) -> bool:
        """Whether any of these counts each key's calls by themselves."""
        return any(limit.per_key for limit in self.request_limits)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Caller:
    """Who calls: a team, by one of its keys."""

    team: Team
    key: Key


@dataclass(frozen=True)
class PolicySet:
    """Everything the policy files say, as one immutable generation.

    `version` is a SHA-256 over the files' names and bytes, so replicas can be compared.
    """

    teams: Mapping[str, Team]
    credentials: Mapping[str, Credential]
    prices: tuple[Price, ...] = ()
    unpriced: Unpriced = Unpriced.REFUSE
    queueing: tuple[Queueing, ...] = ()
    version: str = ""
    callers: Mapping[str, Caller] = field(init=False, repr=False, compare=False)
    """Callers by the SHA-256 (hex) of their key. Known with the rest, lest a first call find out all of them."""

    def __post_init__(self) -> None:
        callers = {key.digest: Caller(team, key) for team in self.teams.values() for key in team.keys}
        object.__setattr__(self, "callers", callers)
