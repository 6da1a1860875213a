"""Keeps the processes of a mesh running, from the first to be started to the last to be stopped."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence

from services.cli import logfile, state
from services.cli.backoff import Backoff
from services.cli.children import Children
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.process import Process, StartFailed
from services.cli.progress import Progress
from services.cli.spec import Spec
from services.cli.state import MeshState, ProcessState

# All of stopping, above the sum of what any single process is given in practice.
_MARGIN_SECONDS = 30.0
# A busy process writes some megabytes meanwhile.
_LOG_SECONDS = 5.0


class Supervisor:
    """Runs every process of `specs`. `mesh` is what the state file says besides, `welcome` what is shown when ready."""

    def __init__(
        self,
        specs: Sequence[Spec],
        *,
        mesh: MeshState,
        welcome: str,
        home: Home,
        children: Children,
        progress: Progress,
    ) -> None:
        self._home = home
        self._mesh = mesh
        self._welcome = welcome
        self._children = children
        self._progress = progress
        self._backoff = Backoff()
        self._stop = asyncio.Event()
        self._failure: str | None = None
        self._tasks = asyncio.TaskGroup()
        self._adopting = asyncio.Lock()
        self._processes = {spec.name: Process(spec, home, children, self._changed) for spec in specs}

    def stop(self) -> None:
        """Stop in order; the second time, kill."""
        if self._stop.is_set():
            for process in self._processes.values():
                process.give_up()
            self._children.kill()
        self._stop.set()

    async def run(self) -> None:
        """Start, keep running until told to stop, stop.

        Raises:
            Problem: the mesh did not start.
        """
        async with self._tasks as tasks:
            for process in self._processes.values():
                tasks.create_task(self._supervise(process))
            starting = tasks.create_task(self._announce())
            tending = tasks.create_task(self._tend_logs())
            await self._stop.wait()
            starting.cancel()
            self._enter("stopping")
            await self._stop_all()
            tending.cancel()
        if self._failure is not None:
            raise Problem(self._failure)

    def adopt(self, specs: Sequence[Spec]) -> None:
        """Of the tiers that `specs` has, run these and no others. What runs under its name already goes on as it is.

        Nothing happens unless the mesh is ready: until then others may wait for those that would go.
        """
        if self._mesh.state == "ready":
            self._tasks.create_task(self._adopt(specs))

    def hand_over(self) -> None:
        """Have whoever can be succeeded while it runs start its successor."""
        for process in self._processes.values():
            self._tasks.create_task(process.hand_over())

    async def _adopt(self, specs: Sequence[Spec]) -> None:
        # One after the other: what is wanted again may still be on its way out.
        async with self._adopting:
            if self._stop.is_set():
                return
            for spec in specs:
                known = self._processes.get(spec.name)
                if known is None or known.state.state == "stopped":
                    process = Process(spec, self._home, self._children, self._changed)
                    self._processes[spec.name] = process
                    self._tasks.create_task(self._supervise(process, essential=False))
            wanted = {spec.name for spec in specs}
            for tier in sorted({spec.tier for spec in specs}, reverse=True):
                members = [each for each in self._processes.values() if each.spec.tier == tier]
                await self._dismiss([each for each in members if each.spec.name not in wanted])

    async def _dismiss(self, processes: Sequence[Process]) -> None:
        await asyncio.gather(*(process.stop() for process in processes))
        for process in processes:
            del self._processes[process.spec.name]
        self._write()

    async def _supervise(self, process: Process, *, essential: bool = True) -> None:
        after = [self._processes[name] for name in process.spec.after]
        try:
            await process.run(after, self._backoff)
        except StartFailed as failure:
            if essential:
                self._failure = self._failure or str(failure)
                self._stop.set()

    async def _announce(self) -> None:
        for process in self._processes.values():
            await process.ready.wait()
        self._enter("ready")
        with contextlib.suppress(OSError):
            self._progress.ready(self._welcome)

    async def _tend_logs(self) -> None:
        """Keep logs small for as long as their processes live: a disk that they fill stops the mesh."""
        while True:
            await asyncio.sleep(_LOG_SECONDS)
            await asyncio.to_thread(logfile.cut_all, self._home.logs)

    async def _stop_all(self) -> None:
        tiers = sorted({process.spec.tier for process in self._processes.values()}, reverse=True)
        longest = sum(
            max(process.spec.stop_seconds for process in self._processes.values() if process.spec.tier == tier)
            for tier in tiers
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest + _MARGIN_SECONDS):
                for tier in tiers:
                    members = [process for process in self._processes.values() if process.spec.tier == tier]
                    await asyncio.gather(*(process.stop() for process in members))
            return
        self._children.kill()

    def _changed(self, changed: ProcessState) -> None:
        self._write()
        with contextlib.suppress(OSError):  # the terminal has gone away, or whatever reads our output
            self._progress.process(changed)

    def _enter(self, phase: state.MeshPhase) -> None:
        self._mesh = dataclasses.replace(self._mesh, state=phase)
        self._write()  # first: whoever is told may look
        with contextlib.suppress(OSError):
            self._progress.phase(phase)

    def _write(self) -> None:
        processes = tuple(process.state for process in self._processes.values())
        with contextlib.suppress(OSError):  # a full disk must not end the mesh
            state.write(self._home, dataclasses.replace(self._mesh, processes=processes))
