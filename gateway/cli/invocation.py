"""One command as it was called, and how it says that it cannot run."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.policy import PolicySet
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
