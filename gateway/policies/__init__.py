"""Policy files: read as one consistent set, parsed whole by `gateway.core.parse`, swapped at once, edited in place.

The one home of YAML.
"""

from gateway.policies.current import Policies
from gateway.policies.load import Loaded, load

__all__ = ["Loaded", "Policies", "load"]
