"""FLOW the policies change: read whole, checked whole, swapped at once; a bad set changes nothing and is said aloud."""

import asyncio
import gc

from gateway.context import Gateway
from gateway.core.policy import PolicySet
from gateway.relay import missing_address
from gateway.settings import Settings
from gateway.siblings import Answers
from gateway.upstream.credentials import Credentials
from gateway.webhooks import missing_secrets

_YOUNG = 0
"""The generation of objects that no collection has looked at: few enough to go through between two calls."""


async def reload_policies(gw: Gateway, *, asked: bool = False) -> bool:
    """Read the policy files again. Whether they were accepted; if not, the last good ones stay in force.

    Who `asked` for it and gets no other answer finds in the log what came of it, also if nothing did. One reload waits
    for another, or its collection of garbage would go through the hundred thousand objects that are still being read.
    """
    async with gw.reloading:
        return await _reload(gw, asked=asked)


async def reload_changed_policies(gw: Gateway) -> None:
    """Read the policy files again if they hold something else than what was read last, by whoever asked.

    That is looked at when its turn has come: what a reload under way is reading would pass for unread.
    """
    async with gw.reloading:
        if await asyncio.to_thread(gw.policies.changed, gw.now()):
            await _reload(gw, asked=False)


async def _reload(gw: Gateway, *, asked: bool) -> bool:
    """Read the files and show what is in force. Whether they were accepted.

    Meanwhile no garbage is collected: to go through the half million objects that a thousand teams are read into halts
    every call for a quarter of a second, and would be done several times over. Afterwards all that stays is left out
    of collections, as it is after the start; what is garbage by then stays for ever, so the young is collected first.
    To go through what has outlived a collection as well, up to two hundred thousand objects, would halt calls for a
    tenth of a second, for the sake of the few that were in use at that collection and are garbage now.
    """
    gc.collect(_YOUNG)
    gc.disable()
    try:
        accepted = await asyncio.to_thread(gw.policies.reload, gw.now(), asked=asked)
    finally:
        gc.enable()
    if accepted:
        gc.freeze()
    else:
        await _agree(gw)
    show_policies(gw)
    return accepted


async def _agree(gw: Gateway) -> None:
    """Have in force what the other workers have, where the files are wrong.

    A good set that was there for less than a second may have been seen by one of them alone.
    """
    for words in (await gw.siblings.ask("policies")).values():
        await asyncio.to_thread(gw.policies.adopt, words)


async def reload_everywhere(gw: Gateway) -> bool:
    """As `reload_policies`; the other workers have read the files again as well when it returns."""
    accepted = await reload_policies(gw)
    await gw.siblings.ask("reload")
    return accepted


def policies_for_siblings(gw: Gateway) -> Answers:
    """What the other workers may ask of this one's policies, or of it."""

    async def in_force() -> bytes:
        return await asyncio.to_thread(gw.policies.in_force)

    async def read_again() -> bytes:
        return b"accepted" if await gw.tasks.shield(reload_policies(gw), "reload") else b"refused"

    return {"policies": in_force, "reload": read_again}


def show_policies(gw: Gateway) -> None:
    """Put into the metrics which generation is in force, whether the files' own is, and when the keys expire.

    What they tell of credentials that are gone ends.
    """
    policies, metrics = gw.policies, gw.metrics
    gw.upstream.circuits.keep(policies.current.credentials)
    gw.upstream.keys.keep(policies.current.credentials)
    metrics.reload_ok.set(int(policies.last_reload_ok))
    metrics.reload_time.set(policies.last_reload_at)
    metrics.policy_info.show({(policies.version,): 1})
    metrics.key_expiry.show(
        {
            (team.name, key.name): key.expires
            for team in policies.current.teams.values()
            for key in team.keys
            if key.expires is not None
        }
    )


def what_lacks(credentials: Credentials, settings: Settings, policy: PolicySet) -> list[str]:
    """What these policies need from outside of their files and do not find there."""
    secrets = missing_secrets(policy, credentials.secret, credentials.fault)
    keys = [] if settings.simulate else credentials.missing(policy)
    return [*keys, *secrets, *missing_address(policy, settings.public_url)]
