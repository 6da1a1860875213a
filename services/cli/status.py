"""`hybrid status`: the processes, the workers, and what is missing."""

import asyncio
import dataclasses
import os
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli import proof
from services.cli.fleet import WorkerRow, seen
from services.cli.home import Home
from services.cli.running import running
from services.cli.state import MeshState

_WATCH_SECONDS = 1.0
_STYLES = {
    "ready": "green",
    "done": "dim",
    "healthy": "green",
    "stopped": "red",
    "unreachable": "red",
    "ejected": "red",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The mesh of a home at one moment. `workers` is None when no router answers.

    `drained` has what operators have taken out of service.
    """

    home: str
    mesh: MeshState | None
    workers: tuple[WorkerRow, ...] | None
    drained: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether every process is there."""
        return self.mesh is not None and self.mesh.state == "ready" and not missing(self.mesh)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "home": self.home,
            "running": self.mesh is not None,
            "ready": self.ready,
            "mesh": dataclasses.asdict(self.mesh) if self.mesh else None,
            "drained": list(self.drained),
            "workers": None if self.workers is None else [dataclasses.asdict(worker) for worker in self.workers],
        }


def look(home: Home) -> Status:
    """What is the case now."""
    mesh = running(home)
    if mesh is None:
        return Status(str(home.path), None, None)
    # The routers' addresses are meant from the home, and a unix socket's path must be short.
    os.chdir(home.path)
    found = asyncio.run(seen(mesh.routers, proof.of_mesh(mesh)))
    return Status(str(home.path), mesh, found.workers, found.drained)


def watch(home: Home, console: Console) -> None:
    """Show what is the case now, and go on until interrupted."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(rendered(look(home), now=time.time()), refresh=True)
            time.sleep(_WATCH_SECONDS)


def missing(mesh: MeshState) -> tuple[str, ...]:
    """Names of the processes that are not there, or not yet."""
    return tuple(process.name for process in mesh.processes if process.state not in ("ready", "done"))


def rendered(status: Status, *, now: float) -> Group | Text:
    """For people."""
    mesh = status.mesh
    if mesh is None:
        return Text(f"no mesh is running in {status.home}")
    where = mesh.edge or "no edge"
    head = Text(f"{f'{mesh.host}: ' if mesh.host else ''}{where}  {mesh.state}  supervisor {mesh.pid}  {status.home}")
    absent = missing(mesh)
    notes = [Text(f"not there: {', '.join(absent)}", style="red")] if absent else []
    if status.workers is None:
        who = "no router answers" if len(mesh.routers) > 1 else "the router does not answer"
        notes.append(Text(f"{who}, so nothing is known of the workers", style="red"))
    notes += [Text(f"out of service: {', '.join(status.drained)}", style="yellow")] if status.drained else []
    shown = Group(head, *notes, "", _processes(mesh, now))
    return shown if status.workers is None else Group(shown, "", _workers(status.workers))


def _processes(mesh: MeshState, now: float) -> Table:
    table = Table("process", "pid", "state", "for", "restarts", box=None, header_style="bold")
    for process in mesh.processes:
        state = Text(process.state, style=_STYLES.get(process.state, "yellow"))
        since = duration(now - process.since) if process.since else ""
        table.add_row(process.name, str(process.pid or ""), state, since, str(process.restarts or ""))
    return table


def _workers(workers: tuple[WorkerRow, ...]) -> Table:
    columns = ("worker", "provider", "models", "health", "leases", "run", "wait", "cache", "ttft")
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for worker in workers:
        loading = "" if worker.loading_progress is None else f" {worker.loading_progress:.0%}"
        table.add_row(
            worker.worker,
            worker.provider,
            ", ".join(worker.models),
            Text(worker.health + loading, style=_STYLES.get(worker.health, "yellow")),
            str(worker.leases),
            f"{worker.running}/{worker.capacity}" if worker.capacity else str(worker.running),
            str(worker.waiting),
            "" if worker.kv_usage is None else f"{worker.kv_usage:.0%}",
            "" if worker.first_content_ms is None else f"{worker.first_content_ms:.0f} ms",
        )
    return table


def duration(seconds: float) -> str:
    """As people say it: `12s`, `3m`, `5h`, `2d`."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
