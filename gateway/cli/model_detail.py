"""What a command can know of a model: from upstream where its key is at hand, else what a gateway kept."""

from gateway.catalogue import snapshot_name
from gateway.cli.invocation import Invocation
from gateway.cli.upstream_access import open_upstream
from gateway.core.access import may_use
from gateway.core.detail import ModelDetail
from gateway.core.policy import PolicySet, Team
from gateway.core.wording import rfc3339
from gateway.ledger.reader import LedgerReader
from gateway.server.run import run_in_loop
from gateway.upstream.client import Answer, UpstreamFailure
from gateway.upstream.credentials import Credentials
from gateway.upstream.translate import model_detail

PATIENCE = 10.0
"""Seconds to wait for upstream."""


def find_detail(
    call: Invocation, policy: PolicySet, team: Team, model: str, ledger: LedgerReader | None
) -> tuple[ModelDetail | None, str]:
    """The detail, None where it cannot be had, and a sentence that says where it is from."""
    if not may_use(team, model)[0]:
        return None, "Upstream was not asked about a model the team may not use."
    why = _no_key(call, policy, team)
    if not why:
        try:
            answer = run_in_loop(_ask(call, policy, team, model))
        except UpstreamFailure as failure:
            why = failure.message
        else:
            if answer.status == 200:
                return model_detail(answer.body), "The model's detail is upstream's of now."
            why = f"Upstream answered {answer.status} when asked about the model."
    name = snapshot_name(call.settings.upstream_url, ("model", team.credential, model))
    kept = ledger.snapshot(name) if ledger is not None else None
    if kept is None:
        return None, f"{why} So the parameters the model requires, and its own price, are not known here."
    note = f"{why} The model's detail is the one the gateway kept at {rfc3339(kept.fetched_at)}."
    return model_detail(kept.body), note


def _no_key(call: Invocation, policy: PolicySet, team: Team) -> str:
    """Why upstream cannot be asked for this team, or nothing."""
    access = Credentials(policy.credentials.get, call.environment).access(team.credential)
    return "" if access.keys else f"There is no upstream key for the credential {team.credential!r} here."


async def _ask(call: Invocation, policy: PolicySet, team: Team, model: str) -> Answer:
    async with open_upstream(call, policy, PATIENCE) as upstream:
        return await upstream.get_model(team.credential, model)
