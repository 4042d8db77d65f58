"""`check --online`: the policies against the models and prices that upstream has right now."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.upstream_access import AT_ONCE, open_upstream
from gateway.core.access import matches, may_use
from gateway.core.detail import ModelDetail
from gateway.core.errors import Refusal
from gateway.core.money import format_usd
from gateway.core.nodes import Listing, Mark, Report, Scalar, Table
from gateway.core.policy import PolicySet, Unpriced
from gateway.core.pricing import has_price, quote
from gateway.core.wire import Payload
from gateway.policies import Loaded, load
from gateway.policies.files import read_settled
from gateway.policies.load import compose_file
from gateway.server.run import run_in_loop
from gateway.upstream.client import UpstreamFailure
from gateway.upstream.credentials import Credentials
from gateway.upstream.translate import model_detail, model_ids

TIMEOUT = 30.0


def load_online(call: Invocation, path: Path, policy: PolicySet) -> Loaded:
    """The policies at `path` once more, with what upstream knows. Raises CannotRunError where it cannot be asked."""
    missing = Credentials(policy.credentials.get, call.environment).missing(policy)
    if missing:
        raise CannotRunError("\n".join(missing))
    try:
        details = run_in_loop(_ask(call, policy))
    except UpstreamFailure as failure:
        raise CannotRunError(f"upstream cannot be asked: {failure.as_refusal().message}") from None
    loaded = load(path, details.keys(), call.now)
    report = Report(list(loaded.problems))
    _check_prices(policy, details, path, report)
    return replace(loaded, problems=report.in_order())


async def _ask(call: Invocation, policy: PolicySet) -> Mapping[str, ModelDetail | None]:
    """The ids upstream lists for any credential in use, with the detail of those that some team may use."""
    async with open_upstream(call, policy, TIMEOUT) as upstream:
        credentials: dict[str, str] = {}
        for name in sorted({team.credential for team in policy.teams.values()}):
            listing = await upstream.list_models(name)
            credentials |= dict.fromkeys(model_ids(listing.body), name)
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(model: str) -> ModelDetail | None:
            if not any(may_use(team, model)[0] for team in policy.teams.values()):
                return None
            async with turns:
                answer = await upstream.get_model(credentials[model], model)
            return model_detail(answer.body) if answer.status == 200 else None

        details = await asyncio.gather(*map(ask, credentials))
        return dict(zip(credentials, details, strict=True))


def _check_prices(policy: PolicySet, details: Mapping[str, ModelDetail | None], path: Path, report: Report) -> None:
    """Warn of models that a team with a budget cannot use for want of a price, and of prices unlike upstream's."""
    marks = _Marks(path)
    for team in policy.teams.values():
        if not team.has_budget or policy.unpriced is Unpriced.FREE:
            continue
        for model, detail in details.items():
            if may_use(team, model)[0] and not has_price(policy, model, detail):
                message = f"{model} has no price, and {team.name} has a budget: its jobs are refused"
                report.warn(marks.team(team.name), "price-unknown", message)
    for model, detail in details.items():
        ours, theirs = _price(policy, model, detail), _price(replace(policy, prices=()), model, detail)
        if ours is not None and theirs is not None and ours != theirs:
            message = f"a plain job of {model} costs {format_usd(ours)} USD here and {format_usd(theirs)} USD upstream"
            report.warn(marks.price(policy, model), "price-differs", message)


def _price(policy: PolicySet, model: str, detail: ModelDetail | None) -> int | None:
    """What a job costs that leaves every parameter at its default; None where nothing says so."""
    try:
        return quote(policy, model, Payload({}), detail).amount
    except Refusal:
        return None


class _Marks:
    """Where in the files teams and prices stand; the folder itself for what was there a moment ago."""

    def __init__(self, path: Path) -> None:
        self._path = Mark(str(path))
        nodes = (compose_file(file, Report()) for file in read_settled(path).files)
        self._roots = [node for node in nodes if isinstance(node, Table)]

    def team(self, name: str) -> Mark:
        """Of a team's name."""
        nodes = (root.get("team") for root in self._roots)
        return next((node.mark for node in nodes if isinstance(node, Scalar) and node.text == name), self._path)

    def price(self, policy: PolicySet, model: str) -> Mark:
        """Of the first price for a model."""
        position = next(index for index, price in enumerate(policy.prices) if matches(price.models, model))
        listings = (node.items for root in self._roots if isinstance(node := root.get("prices"), Listing))
        return next((items[position].mark for items in listings if position < len(items)), self._path)
