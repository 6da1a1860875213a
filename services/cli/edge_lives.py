"""One Envoy taking over from another while both run: Envoy's hot restart, which hands over the open sockets."""

import functools
import hashlib
import math
import pathlib
from collections.abc import Callable

from services.cli import edge
from services.cli.home import Home
from services.config.mesh import MeshConfig

# Beside Envoy's configuration, below the home: only its user can get there.
_SOCKETS = "run/envoy/hand-over"
# Envoy multiplies it by ten, within 32 bits, and names its shared memory by the product.
_MOST_BASE = 2**28


def commands(home: Home, bootstrap: pathlib.Path, config: MeshConfig) -> Callable[[int], tuple[str, ...]]:
    """By how many have taken over since the first, the command line of the Envoy of a home.

    The first takes over from nobody. What those before it have under way may finish for `gateway.drain_seconds`.
    """
    return functools.partial(_command, home, bootstrap, config)


def _command(home: Home, bootstrap: pathlib.Path, config: MeshConfig, number: int) -> tuple[str, ...]:
    restarting = ["--base-id", str(_base(home)), "--restart-epoch", str(number)]
    restarting += ["--socket-path", _SOCKETS, "--socket-mode", "600"]
    restarting += ["--parent-shutdown-time-s", str(max(1, math.ceil(config.gateway.drain_seconds)))]
    return tuple(edge.command(bootstrap, drain_seconds=edge.longest_seconds(config), restarting=restarting))


def shared_memory(home: Home) -> pathlib.Path:
    """The file of some bytes by which the Envoys of a home know of each other."""
    return pathlib.Path(f"/dev/shm/envoy_shared_memory_{_base(home)}0")  # noqa: S108  # Envoy's choice


def _base(home: Home) -> int:
    """A number of the home's own."""
    return int.from_bytes(hashlib.sha256(str(home.path).encode()).digest()[:4], "big") % _MOST_BASE
