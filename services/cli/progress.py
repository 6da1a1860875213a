"""Telling a person, or the command that waits for a detached supervisor, how starting and stopping go on."""

import json
import os
import time
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from services.cli.state import MeshPhase, ProcessState

_STYLES = {"ready": "green", "done": "green", "restarting": "red", "stopped": "dim", "waiting": "dim"}


class Progress(Protocol):
    """Whoever wants to know."""

    def process(self, state: ProcessState) -> None:
        """A process has entered a state."""

    def phase(self, phase: MeshPhase) -> None:
        """The mesh has entered a state."""

    def ready(self, welcome: str) -> None:
        """Everything is ready, for the first time; `welcome` says what can be done now."""

    def close(self) -> None:
        """There is nothing more to tell."""


def describe(state: ProcessState, *, begun: float) -> str:
    """One line about a process; `begun` is when the mesh was started, on the same clock as `since`."""
    times = f", restarted {state.restarts}×" if state.restarts else ""
    return f"{state.name:<14} {state.state} ({max(0.0, state.since - begun):.1f} s{times})"


class Lines:
    """One line per change that matters, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.time()

    def process(self, state: ProcessState) -> None:
        if state.state in ("starting", "ready", "restarting", "done", "stopped"):
            self._console.print(describe(state, begun=self._begun), highlight=False, markup=False)

    def phase(self, phase: MeshPhase) -> None:
        if phase == "stopping":
            self._console.print("stopping")

    def ready(self, welcome: str) -> None:
        self._console.print(welcome, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        pass


class Screen:
    """A table that lives while the mesh starts or stops, for a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, ProcessState] = {}
        self._spinners: dict[str, Spinner] = {}
        self._live: Live | None = None
        self._running = False

    def process(self, state: ProcessState) -> None:
        self._states[state.name] = state
        if self._running:
            # From here on the screen is the user's: one line each for what matters.
            if state.state != "stopping":
                self._console.print(Text(f"{state.name} {state.state}", style=_STYLES.get(state.state, "yellow")))
            return
        if self._live is None:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=8)
            self._live.start()

    def phase(self, phase: MeshPhase) -> None:
        if phase == "stopping":
            self.close()
            self._running = True
            self._console.print("[dim]stopping; Ctrl-C once more kills[/dim]")

    def ready(self, welcome: str) -> None:
        self.close()
        self._running = True
        self._console.print(welcome, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for state in self._states.values():
            style = _STYLES.get(state.state, "yellow")
            busy = state.state in ("starting", "restarting")
            seconds = f"{time.time() - state.since:.0f} s" if busy else ""
            spinner = self._spinners.setdefault(state.name, Spinner("dots", style=style))
            mark = spinner if busy else Text("✓" if style == "green" else "·", style=style)
            table.add_row(mark, state.name, Text(state.state, style=style), Text(seconds, style="dim"))
        return table


class Pipe:
    """JSON lines to the command that waits until its detached supervisor is ready. It may have gone away."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def process(self, state: ProcessState) -> None:
        self._send({"process": {name: getattr(state, name) for name in ProcessState.__slots__}})

    def phase(self, phase: MeshPhase) -> None:
        self._send({"phase": phase})

    def ready(self, welcome: str) -> None:
        self._send({"ready": welcome})
        self.close()

    def failed(self, message: str, code: int) -> None:
        """The mesh is not going to be ready."""
        self._send({"failed": message, "code": code})
        self.close()

    def _send(self, event: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(event).encode() + b"\n")
        except OSError:
            self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def to_terminal() -> Screen | Lines:
    """What suits standard output."""
    console = Console()
    return Screen(console) if console.is_terminal else Lines(console)
