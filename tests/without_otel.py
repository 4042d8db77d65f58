"""The command as it is where the extra `otel` is not installed.

Run as `python -m tests.without_otel`.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class Lacking(MetaPathFinder):
    """Finds that there is no OpenTelemetry."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Lacking())
    from gateway.__main__ import main

    sys.exit(main())
