"""What takes part: the mesh and its peers, each made ready and started in front of the upstream."""

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks.peers.table import PEERS
from benchmarks.remote.cores import Place, starter
from benchmarks.remote.figures import OURS
from benchmarks.system import System, mesh_remote
from services.cli.setup.failure import SetupError
from services.cli.setup.progress import Progress

Start = Callable[[int], contextlib.AbstractContextManager[System]]
_FAILURES = (RuntimeError, OSError, subprocess.SubprocessError, SetupError)


@dataclasses.dataclass(slots=True)
class Contenders:
    """Those that take part.

    Attributes:
        starts: how each is started; the argument is the upstream's port.
        versions: of the peers.
        failures: why others do not take part.
    """

    starts: dict[str, Start] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def started(self, names: Sequence[str], upstream_port: int, place: Place) -> Iterator[Sequence[System]]:
        """Those of the systems that start, running there."""
        systems = []
        with starter(place) as thread, contextlib.ExitStack() as stack:
            for name in names:
                try:
                    one = thread.submit(stack.enter_context, self.starts[name](upstream_port)).result()
                    systems.append(dataclasses.replace(one, name=name))
                except _FAILURES as failure:
                    self.failures[name] = str(failure)
                    print(f"{name} did not start: {failure}", file=sys.stderr)
            yield systems


def names() -> Sequence[str]:
    """All systems, ours first."""
    return [OURS, *PEERS]


def ready(chosen: Sequence[str]) -> Contenders:
    """Make these ready; a peer that cannot be had is one of the failures."""
    found = Contenders()
    for name in chosen:
        if name == OURS:
            found.starts[name] = mesh_remote
            continue
        try:
            PEERS[name].install(Progress(sys.stderr))
            found.starts[name], found.versions[name] = PEERS[name].start, PEERS[name].version()
        except _FAILURES as failure:
            found.failures[name] = str(failure)
            print(f"{name} cannot be had: {failure}", file=sys.stderr)
    return found
