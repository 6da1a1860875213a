"""One supervised process: started, watched until it is ready, started again when it dies, stopped."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable

from services.cli import logfile
from services.cli.backoff import Backoff
from services.cli.child import Child
from services.cli.children import Children
from services.cli.home import Home
from services.cli.spec import Spec, Successor
from services.cli.state import ProcessPhase, ProcessState

# So many lives may end before the process was ready even once; then starting the mesh has failed.
_START_LIVES = 3
# As the shell says it of a program that is there and cannot be run.
_NOT_STARTED = 126


class StartFailed(Exception):
    """A process does not become ready. The message has its last log lines."""


class Process:
    """Runs what `spec` says. `changed` is told of every change of state."""

    def __init__(self, spec: Spec, home: Home, children: Children, changed: Callable[[ProcessState], None]) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        self.state = ProcessState(spec.name)
        self._home = home
        self._children = children
        self._changed = changed
        self._stopping = asyncio.Event()
        self._gone = asyncio.Event()
        self._child: Child | None = None
        self._end: asyncio.Future[int]  # the exit code of that, or of who has taken over from it
        self._successions = 0  # since its last start
        self._leaving: Child | None = None  # has been succeeded, and may still have work under way
        self._handing_over = False
        self._since = 0  # bytes in the log before this life

    async def run(self, after: Iterable["Process"], backoff: Backoff) -> None:
        """Keep the process running until it is stopped.

        Raises:
            StartFailed: it was never ready, and is not going to be.
        """
        try:
            for other in after:
                await self._unless_stopping(other.ready.wait())
            crashes = lives = 0
            while not self._stopping.is_set():
                begun = time.monotonic()
                code = await self._live()
                if self._stopping.is_set() or self.state.state == "done":
                    return
                # One that ended in order was asked to, by whoever restarts it.
                in_order = code == 0 and self.state.state == "ready"
                crashes = 0 if in_order else backoff.crashes(crashes, lived=time.monotonic() - begun)
                lives += 1
                if not self.ready.is_set() and lives >= _START_LIVES:
                    raise StartFailed(self._told(code))
                self._enter("restarting", restarts=self.state.restarts + 1)
                await self._unless_stopping(asyncio.sleep(backoff.delay(max(1, crashes))))
        finally:
            if self._child is not None:
                self._child.kill()
            self._gone.set()
            if self.state.state != "done":
                self._enter("stopped")

    async def hand_over(self) -> None:
        """Start a successor beside it and go on with that once it has taken over; otherwise all stays as it is."""
        if self.spec.succeed is None or self._handing_over:
            return
        self._handing_over = True
        try:
            # With a third there, the first would be ended whatever it still has to do.
            if self._leaving is not None:
                await self._unless_stopping(asyncio.shield(self._leaving.exited))
            if self._child is not None and self.state.state == "ready":
                await self._succeed(self._child, self.spec.succeed)
        finally:
            self._handing_over = False

    async def _succeed(self, before: Child, succeed: Callable[[int], Successor]) -> None:
        wanted = succeed(self._successions + 1)
        try:
            successor = self._spawn(wanted.command)
        except OSError:  # no memory or no descriptors left: perhaps the next time
            return
        ready, stopping = (asyncio.ensure_future(each) for each in (wanted.ready(), self._stopping.wait()))
        try:
            first = (ready, stopping, successor.exited)
            await asyncio.wait(first, timeout=self.spec.start_seconds, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and self._child is before and not self._stopping.is_set():
                self._successions += 1
                self._leaving = before
                # It ends by itself when its successor tells it to, which one that has died meanwhile never does.
                asyncio.get_running_loop().call_later(self.spec.stop_seconds, before.kill)
                self._go_on_with(successor)
                self._enter("ready", pid=successor.pid)
            else:
                successor.kill()
        finally:
            ready.cancel()
            stopping.cancel()

    def give_up(self) -> None:
        """However it ends now, it is not started again."""
        self._stopping.set()

    async def stop(self) -> None:
        """Ask it to end, and kill it when that takes too long."""
        self._stopping.set()
        child = self._child
        if child is not None and not child.exited.done():
            self._enter("stopping", pid=child.pid)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.spec.stop_seconds):
                    if self.spec.leave is not None and self.ready.is_set():
                        await self.spec.leave()
                    child.stop()
                    await asyncio.shield(child.exited)
            child.kill()
        await self._gone.wait()

    async def _live(self) -> int:
        """One life; its exit code."""
        self._since = logfile.size(self._home.log(self.spec.name))
        try:
            child = self._spawn(self.spec.command)
            self._end = asyncio.get_running_loop().create_future()
            self._go_on_with(child)
            self._successions = 0
        except OSError:  # no memory or no descriptors left: perhaps the next time
            return _NOT_STARTED
        self._enter("starting", pid=child.pid)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._until_ready(child))
            code = await self._end
            watching.cancel()
        self._child = None
        if self.spec.once and code == 0:
            self._enter("done")
            self.ready.set()
        return code

    def _spawn(self, command: tuple[str, ...]) -> Child:
        return self._children.spawn(
            command,
            log=self._home.log(self.spec.name),
            environment=self.spec.environment,
            stop_signal=self.spec.stop_signal,
        )

    def _go_on_with(self, child: Child) -> None:
        """From now on its life is the process's, and its end as well."""

        def ended(exited: asyncio.Future[int]) -> None:
            if self._child is child and not self._end.done():
                self._end.set_result(exited.result())

        self._child = child
        child.exited.add_done_callback(ended)

    async def _until_ready(self, child: Child) -> None:
        try:
            async with asyncio.timeout(self.spec.start_seconds):
                if self.spec.once:
                    await asyncio.shield(child.exited)
                    return
                if self.spec.ready is not None:
                    await self.spec.ready()
        except TimeoutError:
            child.kill()  # the next life, or the end of the start, follows from its exit
            return
        if not self._stopping.is_set():
            self._enter("ready", pid=child.pid)
            self.ready.set()

    async def _unless_stopping(self, waiting: Awaitable[object]) -> None:
        """Wait, but no longer than until the process is to stop."""
        async with asyncio.TaskGroup() as tasks:
            wait = asyncio.ensure_future(waiting)
            stop = tasks.create_task(self._stopping.wait())
            await asyncio.wait((wait, stop), return_when=asyncio.FIRST_COMPLETED)
            wait.cancel()
            stop.cancel()

    def _enter(self, phase: ProcessPhase, *, pid: int | None = None, restarts: int | None = None) -> None:
        times = self.state.restarts if restarts is None else restarts
        self.state = ProcessState(self.spec.name, pid, phase, times, time.time())
        self._changed(self.state)

    def _told(self, code: int) -> str:
        log = self._home.log(self.spec.name)
        lines = "\n".join(f"  {line}" for line in logfile.tail(log, since=self._since))
        how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        return f"{self.spec.name} {how} before it was ready; the last lines of {log}:\n{lines}"
