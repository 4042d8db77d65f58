"""`check --online`: the policies against the models and prices that upstream has right now."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.upstream_access import AT_ONCE, open_upstream
from gateway.core.access import matches, may_use
from gateway.core.detail import ModelDetail
from gateway.core.money import format_usd
from gateway.core.nodes import Listing, Mark, Report, Scalar, Table
from gateway.core.policy import PolicySet, Price, Team, Unpriced
from gateway.core.pricing import unit_of
from gateway.policies import Loaded, load
from gateway.policies.files import read_settled
from gateway.policies.load import compose_file
from gateway.server.run import run_in_loop
from gateway.upstream.client import Upstream, UpstreamFailure
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
    loaded = load(path, details.keys())
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
