"""What the supervisor says of itself, in a file that `hybrid status` and its like read."""

import dataclasses
import json
import os
from typing import Any, Literal

from services.cli.home import Home

ProcessPhase = Literal["waiting", "starting", "ready", "restarting", "stopping", "stopped", "done"]
MeshPhase = Literal["starting", "ready", "stopping"]


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessState:
    """One process of the mesh. `since` is when it entered its state, in seconds since 1970."""

    name: str
    pid: int | None = None
    state: ProcessPhase = "waiting"
    restarts: int = 0
    since: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class MeshState:
    """A running mesh: who runs it, where it answers, its processes.

    Attributes:
        dsn: that of an embedded server only.
        edge: its address; empty where another host has it.
        routers: addresses of all routers, the nearest first.
        certificate: the edge's, as an absolute path; None without TLS.
        admin: where the admin service listens; empty where another host has it.
        host: the name of this host, where there are several.
        mtls: files of what proves the `hybrid` command to processes on ports, absolute; None where nothing has to.
        succeeding: names of processes that a successor can take over from while they run, on SIGUSR2.
        sections: what each section of the configuration was at the start, as `services.cli.sections` has it.
    """

    pid: int
    state: MeshPhase
    config: str
    edge: str
    routers: tuple[str, ...]
    dsn: str | None
    models: tuple[str, ...]
    certificate: str | None = None
    admin: str = ""
    host: str = ""
    mtls: dict[str, str] | None = None
    succeeding: tuple[str, ...] = ()
    sections: dict[str, str] = dataclasses.field(default_factory=dict)
    processes: tuple[ProcessState, ...] = ()


def write(home: Home, state: MeshState) -> None:
    """Replace the file as a whole: a reader never sees half of it."""
    draft = home.state.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(state)), encoding="utf-8")
    os.replace(draft, home.state)


def read(home: Home) -> MeshState | None:
    """What is written there, or None when there is nothing."""
    try:
        fields: dict[str, Any] = json.loads(home.state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    processes = tuple(ProcessState(**process) for process in fields.pop("processes"))
    named = {name: tuple(fields.get(name, ())) for name in ("models", "routers", "succeeding")}
    return MeshState(**{**fields, **named}, processes=processes)
