"""One command as it was called, and how it says that it cannot run."""

from argparse import Namespace
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.nodes import suggest
from gateway.core.policy import Key, PolicySet, Team
from gateway.policies import load
from gateway.settings import Settings, SettingsError, read_settings

_MOST_NAMED = 10


class CannotRunError(Exception):
    """The command cannot do its work; the text says why and what to do. The exit status is 2."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command's options, the environment it runs in, and when it was called, in unix seconds."""

    options: Namespace
    environment: Mapping[str, str]
    now: float

    @property
    def settings(self) -> Settings:
        """Flag, else environment, else default. Raises CannotRunError naming every bad setting."""
        try:
            return read_settings(self.environment, vars(self.options))
        except SettingsError as error:
            raise CannotRunError(str(error)) from None

    def load_policies(self) -> PolicySet:
        """The policies as the files say them now. Raises CannotRunError with every problem."""
        path = Path(self.settings.policies)
        loaded = load(path)
        if loaded.policy is None:
            problems = "\n".join(map(str, loaded.problems))
            raise CannotRunError(f"the policies cannot be used; see `gmi-gateway check {path}`\n{problems}")
        return loaded.policy


def check_known(lacking: str, name: str, known: Collection[str]) -> None:
    """Raise CannotRunError unless the name is known; it tells a near one, else those there are."""
    if name in known:
        return
    names = [f"`{each}`" for each in sorted(known)]
    few = f"; there is {', '.join(names[:_MOST_NAMED])}{', …' if len(names) > _MOST_NAMED else ''}" if names else ""
    raise CannotRunError(f"{lacking} `{name}`{suggest(name, known) or few}")


def find_team(policy: PolicySet, name: str) -> Team:
    """The team of that name. Raises CannotRunError, with a name that is near or all, where there is none."""
    check_known("there is no team", name, policy.teams)
    return policy.teams[name]


def find_key(team: Team, name: str) -> Key:
    """The team's key of that name. Raises CannotRunError, with a name that is near or all, where there is none."""
    names = [key.name for key in team.keys]
    check_known(f"{team.name} has no key", name, names)
    return team.keys[names.index(name)]
