"""What the supervisor knows of a process before it starts it."""

import dataclasses
import signal
from collections.abc import Awaitable, Callable, Mapping

Wait = Callable[[], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Successor:
    """A program that takes over from the one that runs, which then ends by itself.

    Attributes:
        command: its command line.
        ready: returns once it has taken over.
    """

    command: tuple[str, ...]
    ready: Wait


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """A process, or with `once` a step that is done when the program has exited with 0.

    Attributes:
        after: names of those that must be ready before it is started for the first time.
        tier: highest is stopped first; those of one tier are stopped together.
        ready: returns once the process can do its work; None: as soon as it was started.
        leave: what is done before it is asked to stop.
        succeed: who takes over from it, by how many have done so before; None: nobody can, it has to end first.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    tier: int
    after: tuple[str, ...] = ()
    ready: Wait | None = None
    once: bool = False
    leave: Wait | None = None
    succeed: Callable[[int], Successor] | None = None
    start_seconds: float = 60.0
    stop_seconds: float = 10.0
    stop_signal: int = signal.SIGTERM
