"""`doctor` on this machine: the policies and their keys, the disk, and the variables that mean nothing here."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.findings import Finding, fail, ok, skip, warn
from gateway.cli.invocation import Invocation
from gateway.core.nodes import Severity
from gateway.core.policy import Key, PolicySet, Team
from gateway.core.rotation import successor_of
from gateway.core.wording import rfc3339
from gateway.ledger.engine import ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.policies import load

EXPIRES_SOON = 14 * 86400.0
"""Seconds before its end from which a key or a certificate is worth a warning."""

ENOUGH_DISK = 1024**3
LEAST_DISK = 100 * 1024**2

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")

_MOST_NAMED = 5


def check_policies(call: Invocation) -> tuple[PolicySet | None, list[Finding]]:
    """Whether the policies can be used, what they warn of, and which keys end soon; the policies, None for none."""
    path = call.settings.policies
    loaded = load(Path(path), now=call.now)
    if loaded.policy is None:
        errors = [problem for problem in loaded.problems if problem.severity is Severity.ERROR]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        remedy = f"run `gmi-gateway check {path}`, mend what it names, and run this again"
        return None, [fail("policies", f"{errors[0]}{more}", remedy)]
    teams = loaded.policy.teams.values()
    text = f"{path}, teams: {len(teams)}, keys: {sum(len(team.keys) for team in teams)}"
    if loaded.problems:
        found = warn("policies", f"{text}, warnings: {len(loaded.problems)}", f"run `gmi-gateway check {path}`")
    else:
        found = ok("policies", text)
    return loaded.policy, [found, _check_keys(loaded.policy, call.now)]


def _check_keys(policy: PolicySet, now: float) -> Finding:
    """Which keys have ended or will soon, a rotated one with its successor: whoever uses it still must have that."""
    ending = sorted(
        (key.expires, _ending(team, key, now))
        for team in policy.teams.values()
        for key in team.keys
        if key.expires is not None and key.expires < now + EXPIRES_SOON
    )
    if not ending:
        return ok("keys", "none has expired or will within 14 days")
    more = f" and {len(ending) - _MOST_NAMED} more" if len(ending) > _MOST_NAMED else ""
    remedy = (
        "give successors to who still uses the old keys; `keys rotate` makes one, `keys revoke` removes what is over"
    )
    return warn("keys", ", ".join(text for _, text in ending[:_MOST_NAMED]) + more, remedy)


def _ending(team: Team, key: Key, now: float) -> str:
    successor = successor_of(team, key, now)
    replaced = f" (replaced by {successor.name})" if successor is not None else ""
    ends = rfc3339(key.expires or now)
    return f"{team.name}/{key.name} {'expired' if key.has_expired(now) else 'expires'} {ends}{replaced}"


def check_disk(ledger: str) -> list[Finding]:
    """Whether the disk a SQLite ledger lies on has room. A server's disk is its own affair."""
    try:
        url = ledger_url(ledger)
    except LedgerUnavailable:
        return []  # told of where the ledger is looked at
    if url.get_backend_name() != "sqlite":
        return [skip("disk", "the ledger is on a server, which has to watch its own")]
    folder = Path(str(url.database)).absolute().parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return [fail("disk", f"{folder}: {error.strerror}", "make the folder, or point --ledger elsewhere")]
    text = f"{free / 1024**3:.1f} GiB free in {folder}"
    remedy = "make room: without any, creates are refused"
    if free < LEAST_DISK:
        return [fail("disk", text, remedy)]
    return [ok("disk", text) if free >= ENOUGH_DISK else warn("disk", text, remedy)]


def check_proxies(environment: Mapping[str, str]) -> list[Finding]:
    """Proxy variables, which the gateway does not use. Their values may hold a password and are not shown."""
    names = sorted(name for name in environment if name.lower() in PROXY_VARIABLES and environment[name])
    if not names:
        return [ok("proxies", "none in the environment")]
    remedy = "let this machine reach upstream directly, or unset what is not meant for the gateway"
    are = "is" if len(names) == 1 else "are"
    return [warn("proxies", f"{', '.join(names)} {are} set and ignored: the gateway connects directly", remedy)]
