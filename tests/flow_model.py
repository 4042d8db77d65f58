"""What the ledger must hold, told from its reservations alone, and what a create must be answered."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from sqlalchemy import create_engine

from gateway.core.lifecycle import OPEN, TRANSITIONS, Outcome, State, money_is_kept
from tests.conftest import team
from tests.pretended_upstream import MODELS, PretendedUpstream

KEYS = {"red": "canary-key-of-red", "blue": "canary-key-of-blue"}
PRICES = {"small": 300_000, "large": 1_100_000}
PRICING = "prices:\n" + "".join(
    f"  - {{models: [{model}], usd: {price / 10**6}, per: job}}\n" for model, price in PRICES.items()
)
DAY = 86_400.0
WAITING = (State.RESERVED, State.SENT, State.UNKNOWN)
ANSWERS = {
    "ok": 200,
    "done": 200,
    "unsent": 502,
    "no-id": 502,
    "stolen": 502,
    "lost": 504,
    "lost-made": 504,
    "late-made": 504,
    "504": 504,
    "400": 400,
    "402": 402,
    "503": 503,
}
"""The status a client gets for each outcome of a create that was sent."""


@dataclass(frozen=True)
class Rules:
    """One generation of the policy, alike for both teams. `usd` per month."""

    models: tuple[str, ...]
    slots: int
    jobs: int
    usd: int

    def text(self, name: str) -> str:
        limits = f"[{self.slots} jobs at once, {self.jobs} jobs per day, {self.usd} USD per month]"
        return team(name, KEYS[name], f"models: {{allow: [{', '.join(self.models)}]}}\nlimits: {limits}\n")


GENERATIONS = (Rules(MODELS, 4, 9, 6), Rules(("small",), 2, 5, 2), Rules(MODELS, 3, 20, 30))


@dataclass
class Order:
    """A create as its client sent it. `name` is its X-Request-ID."""

    name: str
    team: str
    model: str
    body: bytes
    key: str | None


@dataclass
class Row:
    """A reservation as the ledger has it, and the order it was made for."""

    order: Order
    created_at: float
    state: State = State.RESERVED
    outcome: Outcome | None = None
    request_id: str | None = None
    refusal: bytes | None = None
    """What a repeat with its key is told, where upstream refused it for good."""

    @property
    def counts(self) -> bool:
        return self.state is not State.RELEASED

    @property
    def costs(self) -> int:
        price = PRICES[self.order.model] if self.counts else 0
        if self.state is State.SETTLED:
            assert self.outcome is not None
            return price if money_is_kept(self.outcome, charge_failed=False) else 0
        return price


def leads_to(source: State, target: State) -> bool:
    """Whether the table of states has a way there."""
    return source is target or any(leads_to(each, target) for each in TRANSITIONS[source])


def day_of(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d")


@dataclass
class Model:
    """Every reservation there ever was, by its id."""

    url: str
    upstream: PretendedUpstream
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine = create_engine(self.url)

    def read(self, query: str) -> list[tuple[object, ...]]:
        """What is in the ledger, read behind its back."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def learn(self, order: Order | None, now: float) -> Row | None:
        """Read the ledger's reservations: nothing may have moved but as the table allows. The order's own, if new."""
        mine: Row | None = None
        found = self.read(
            "SELECT r.id, r.state, r.outcome, r.created_at, r.price, j.request_id"
            " FROM reservations r LEFT JOIN jobs j ON j.reservation_id = r.id",
        )
        assert set(self.rows) <= {name for name, *_ in found}
        for name, state, outcome, created_at, price, request_id in found:
            if name not in self.rows:
                assert order is not None
                assert mine is None, "one create made two reservations"
                assert isinstance(created_at, float)
                mine = self.rows[str(name)] = Row(order, created_at)
            row = self.rows[str(name)]
            assert price == PRICES[row.order.model]
            self._move(row, State(str(state)), None if outcome is None else Outcome(str(outcome)), now)
            assert row.request_id in (None, request_id), "a job changed hands"
            row.request_id = None if request_id is None else str(request_id)
            self._check_owner(row)
        self._check_upstream()
        return mine

    def _move(self, row: Row, state: State, outcome: Outcome | None, now: float) -> None:
        assert leads_to(row.state, state), f"{row.state} became {state}"
        assert row.outcome in (None, outcome), "an end was changed"
        row.state, row.outcome = state, outcome

    def _check_owner(self, row: Row) -> None:
        """A job is owned by the team whose create made it, and ends as upstream said."""
        assert (row.request_id is not None) == (row.state in (State.PLACED, State.SETTLED))
        if row.request_id is None:
            return
        made = self.upstream.jobs[row.request_id]
        assert (made.team, made.body) == (row.order.team, json.loads(row.order.body))
        if row.outcome is not None:
            assert row.outcome.value in (made.status, Outcome.EXPIRED.value)

    def _check_upstream(self) -> None:
        """Upstream never got a create twice, and has no job but of one that is settled or held."""
        assert set(self.upstream.posts.values()) <= {1}
        made = Counter((job.team, json.dumps(job.body)) for job in self.upstream.jobs.values())
        held = Counter((row.order.team, row.order.body.decode()) for row in self.rows.values() if row.counts)
        assert made <= held, f"upstream has {made - held} too many"

    def counters(self) -> dict[str, int]:
        """What each counter holds, as its name says; those at zero are left out."""
        sums: Counter[str] = Counter()
        for row in self.rows.values():
            name, day = row.order.team, day_of(row.created_at)
            sums[f"jobs/{name}//{day}/"] += row.counts
            sums[f"jobs/{name}//at-once/"] += row.state in OPEN
            sums[f"USD/{name}//{day[:7]}/"] += row.costs
        return {name: value for name, value in sums.items() if value}

    def expected(self, order: Order, rules: Rules, now: float) -> tuple[str, Row | None]:
        """What the create must come to: `go`, or the reason why it is not sent, with the earlier one it repeats."""
        earlier = self._earlier(order, now)
        if earlier is not None:
            if earlier.order.body != order.body:
                return "mismatch", earlier
            return ("pending" if earlier.state in WAITING else "replay"), earlier
        if order.model not in rules.models:
            return "denied", None
        used, day = self.counters(), day_of(now)
        room = (
            used.get(f"jobs/{order.team}//at-once/", 0) < rules.slots
            and used.get(f"jobs/{order.team}//{day}/", 0) < rules.jobs
            and used.get(f"USD/{order.team}//{day[:7]}/", 0) + PRICES[order.model] <= rules.usd * 10**6
        )
        return ("go" if room else "full"), None

    def _earlier(self, order: Order, now: float) -> Row | None:
        """The create of the last day that the order's key stands for."""
        if order.key is None:
            return None
        whose = (order.team, order.key)
        same = [row for row in self.rows.values() if (row.order.team, row.order.key) == whose]
        alive = [row for row in same if row.counts or row.refusal is not None]
        return next((row for row in reversed(alive) if now - row.created_at < DAY), None)


STATUSES = {"mismatch": (422,), "pending": (409,), "denied": (403,), "full": (402, 429)}


def judge(expected: tuple[str, Row | None], outcome: str, answer: httpx.Response) -> None:
    """The answer is the one that was foretold."""
    what, earlier = expected
    if what == "go":
        assert answer.status_code == ANSWERS[outcome], answer.text
        assert "idempotency-replayed" not in answer.headers
    elif what == "replay":
        assert earlier is not None
        assert answer.headers["idempotency-replayed"] == "true"
        if earlier.refusal is None:
            assert (answer.status_code, answer.json()["request_id"]) == (200, earlier.request_id)
        else:
            assert (answer.status_code, answer.content) == (400, earlier.refusal)
    else:
        assert answer.status_code in STATUSES[what], answer.text
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def living(rows: Iterable[Row]) -> list[Row]:
    """Those that still hold a slot."""
    return [row for row in rows if row.state in OPEN]
