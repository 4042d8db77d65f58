"""FLOW the policies change: read whole, checked whole, swapped at once; a bad set changes nothing and is said aloud."""

import asyncio

from gateway.context import Gateway


async def reload_policies(gw: Gateway) -> bool:
    """Read the policy files again. Whether they were accepted; if not, the last good ones stay in force."""
    accepted = await asyncio.to_thread(gw.policies.reload, gw.now())
    gw.metrics.reload_ok.set(int(accepted))
    if accepted:
        show_policies(gw)
    return accepted


def show_policies(gw: Gateway) -> None:
    """Put the generation in force into the metrics, and drop the series of teams that are gone."""
    policy, metrics = gw.policies.current, gw.metrics
    metrics.reload_ok.set(1)
    metrics.reload_time.set(gw.policies.last_reload_at)
    metrics.policy_info.keep({policy.version})
    metrics.policy_info(policy.version).set(1)
    teams = set(policy.teams)
    for family in (metrics.quota_limit, metrics.quota_used, metrics.jobs_active, metrics.key_expiry):
        family.keep(teams)
    for team in policy.teams.values():
        for key in team.keys:
            if key.expires is not None:
                metrics.key_expiry(team.name, key.name).set(key.expires)
