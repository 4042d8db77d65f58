"""`doctor` on upstream's side: every key and organisation, and jobs under way that nobody here knows."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from gateway.cli.findings import Finding, Verdict, fail, ok, skip, warn
from gateway.cli.invocation import Invocation
from gateway.cli.policy_words import source_text
from gateway.cli.upstream_access import open_upstream
from gateway.core.errors import Code
from gateway.core.lifecycle import outcome_of
from gateway.core.policy import Credential, PolicySet
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.reader import ledger_exists, read_ledger
from gateway.server.run import run_in_loop
from gateway.upstream.client import Sent, Upstream, UpstreamFailure
from gateway.upstream.credentials import Access, Credentials
from gateway.upstream.translate import list_page, model_ids, record_head

_PAGE = 200
_MOST_PAGES = 5
_NO_ANSWER = "upstream does not answer"
_REFUSED = (
    "put a valid key, and the organisation it is of, where the policies read them: no create of its teams goes through"
)
_SPARED = "another key of the credential is accepted; replace this one or take it out"
_FAILING = "this is no word about the key: upstream itself fails, so ask again later"


def check_upstream(call: Invocation, policy: PolicySet, seconds: float) -> list[Finding]:
    """Every key that some team needs, each on its own, and the jobs under way that the ledger does not know."""
    missing = Credentials(policy.credentials.get, call.environment).missing(policy)
    if missing:
        remedy = "set it, or name another source under `credentials:` in the policies"
        return [fail("upstream key", problem, remedy) for problem in missing]
    return run_in_loop(_ask(call, policy, seconds))


async def _ask(call: Invocation, policy: PolicySet, seconds: float) -> list[Finding]:
    """Every key of every credential in use, then the jobs, asked for with one that is accepted."""
    found: list[Finding] = []
    usable: list[str] = []
    names = sorted({team.credential for team in policy.teams.values()})
    single = {name: _one_key_each(policy.credentials[name]) for name in names}
    every = {name: credential for each in single.values() for name, credential in each.items()}
    credentials = Credentials(every.get, call.environment)
    async with open_upstream(call, replace(policy, credentials=every), seconds) as upstream:
        for each in single.values():
            told = [_whose(credential, credentials, credentials.access(name)) for name, credential in each.items()]
            results = [await _try_key(upstream, name) for name in each]
            accepted = [name for name, result in zip(each, results, strict=True) if result.verdict is Verdict.OK]
            usable += accepted[:1]
            spared = bool(accepted)
            found += [_finding(whose, result, spared=spared) for whose, result in zip(told, results, strict=True)]
        if not usable and any(finding.verdict is Verdict.SKIP for finding in found):
            return [*found, skip("open jobs", _NO_ANSWER)]
        found.append(await _check_jobs(call, upstream, usable))
    return found


def _one_key_each(credential: Credential) -> dict[str, Credential]:
    """Each key as a credential of its own, so that each is tried."""
    keys = enumerate(credential.api_keys)
    return {f"{credential.name} {position}": replace(credential, api_keys=(source,)) for position, source in keys}


@dataclass(frozen=True, slots=True)
class Tried:
    """What a call with one key showed of it, and what upstream said; `remedy` where it was not accepted."""

    verdict: Verdict
    text: str
    remedy: str = ""


async def _try_key(upstream: Upstream, name: str) -> Tried:
    """One key, by a GET of the listing. Where there is no connection nothing is said of it: that has its own check."""
    try:
        answer = await upstream.list_models(name)
        if answer.status == 200:
            return Tried(Verdict.OK, f"accepted, models listed: {len(model_ids(answer.body))}")
    except UpstreamFailure as failure:
        if failure.code is Code.UPSTREAM_CREDENTIALS_REJECTED:
            return Tried(Verdict.FAIL, failure.message.rstrip("."), _REFUSED)
        if failure.sent is Sent.NEVER:
            return Tried(Verdict.SKIP, _NO_ANSWER)
        return Tried(Verdict.FAIL, failure.message.rstrip("."), _FAILING)
    return Tried(Verdict.FAIL, f"upstream answers {answer.status}", _FAILING)


def _whose(credential: Credential, credentials: Credentials, access: Access) -> str:
    """The credential, and the places where what is sent for it really stands."""
    (key,) = credential.api_keys
    path = credentials.path_of(key)
    text = f"credential {credential.name!r}, key from {f'file:{path}' if path else source_text(key)}"
    if credential.organization is None or access.organization is None:
        return f"{text}, no organisation"
    return f"{text}, organisation from {source_text(credential.organization)}"


def _finding(whose: str, tried: Tried, *, spared: bool) -> Finding:
    """A key that is refused is a failure, unless another one of its credential is accepted."""
    text = f"{whose}: {tried.text}"
    if tried.verdict is not Verdict.FAIL:
        return Finding("upstream key", tried.verdict, text)
    if spared:
        return warn("upstream key", text, _SPARED if tried.remedy == _REFUSED else tried.remedy)
    return fail("upstream key", text, tried.remedy)


async def _check_jobs(call: Invocation, upstream: Upstream, credentials: Collection[str]) -> Finding:
    """How many jobs under way upstream has for these credentials that no ledger row owns. Counted, never shown."""
    if not credentials:
        return skip("open jobs", "upstream accepted no key to ask with")
    under_way: set[str] = set()
    try:
        for credential in credentials:
            under_way |= await _jobs_under_way(upstream, credential)
        unknown = _unknown_jobs(call.settings.ledger, under_way)
    except UpstreamFailure as failure:
        return skip("open jobs", f"upstream's list cannot be read: {failure.message}")
    except LedgerUnavailable:
        return skip("open jobs", "the ledger cannot be read")
    if not unknown:
        return ok("open jobs", f"the ledger knows all {len(under_way)} of upstream's latest that are under way")
    remedy = "made around the gateway, or after a backup that was restored: no team is charged for them or sees them"
    return warn("open jobs", f"{len(unknown)} of {len(under_way)} under way are unknown to the ledger", remedy)


async def _jobs_under_way(upstream: Upstream, credential: str) -> set[str]:
    """The ids among the latest requests of the organisation that have not ended."""
    found: set[str] = set()
    offset = 0
    for _ in range(_MOST_PAGES):
        answer = await upstream.list_requests(credential, None, _PAGE, offset)
        page = list_page(answer.body) if answer.status == 200 else None
        if page is None:
            raise UpstreamFailure.invalid("Upstream's answer is no list of requests")
        heads = [record_head(record.body) for record in page.records]
        found |= {head.request_id for head in heads if head is not None and outcome_of(head.status) is None}
        offset += len(page.records)
        if not page.has_more or not page.records:
            break
    return found


def _unknown_jobs(url: str, request_ids: set[str]) -> set[str]:
    if not ledger_exists(url):
        return request_ids
    with read_ledger(url) as ledger:
        return ledger.unknown_jobs(request_ids)
