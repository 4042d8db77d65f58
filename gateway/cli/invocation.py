"""One command as it was called, and how it says that it cannot run."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.nodes import suggest
from gateway.core.policy import Key, PolicySet, Team
from gateway.policies import load
from gateway.settings import Settings, SettingsError, read_settings


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


def find_team(policy: PolicySet, name: str) -> Team:
    """The team of that name. Raises CannotRunError, with a name that is near, where there is none."""
    if name not in policy.teams:
        raise CannotRunError(f"there is no team `{name}`{suggest(name, policy.teams)}")
    return policy.teams[name]


def find_key(team: Team, name: str) -> Key:
    """The team's key of that name. Raises CannotRunError, with a name that is near, where there is none."""
    names = [key.name for key in team.keys]
    if name not in names:
        raise CannotRunError(f"{team.name} has no key `{name}`{suggest(name, names)}")
    return team.keys[names.index(name)]
