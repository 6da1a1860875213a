"""`hybrid restart`: has one process end in order, and waits until its successor serves."""

import asyncio
import contextlib
import os
import pathlib
import re
import signal
import time

from services.cli import admin, proof
from services.cli.fleet import fleet, seen
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.running import required
from services.cli.state import MeshState, ProcessState
from services.cli.turn import turn

_PAUSE_SECONDS = 0.05
# One that is drained is not placed on, and its successor neither.
_WELL = ("healthy", "draining")
_HEALTHY = "cluster.gateway.membership_healthy"
# Whoever uses these would be cut off: the whole mesh is stopped and started instead.
_FIXED = ("postgres",)


def restart(home: Home, name: str, seconds: float) -> None:
    """Restart a process of the mesh in that home.

    A gateway among several is restarted without losing a call: the edge calls the others from before it stops until
    after it serves again. A worker takes no more work before it ends, and is waited for until the router places on it
    again. Another Envoy takes over from the one that runs, which lets its running calls finish.

    Raises:
        Problem: there is no such process, it cannot be spared now, or does not serve again within `seconds`.
    """
    _named(required(home), name)  # a wrong name waits for nobody
    os.chdir(home.path)  # addresses are meant from there
    with turn(home):
        mesh = required(home)
        process = _named(mesh, name)
        if process.state != "ready" or process.pid is None:
            raise Problem(f"{name} is {process.state}; only what is ready can be restarted")
        asyncio.run(_restart(home, mesh, process, time.monotonic() + seconds))


async def _restart(home: Home, mesh: MeshState, process: ProcessState, until: float) -> None:
    socket = home.path / admin.SOCKET
    # One that is drained is called by nobody.
    found = await seen(mesh.routers, proof.of_mesh(mesh)) if _is_gateway(process) else None
    drained = found is not None and f"gateway {process.name}" in found.drained
    several = sum(_is_gateway(each) for each in mesh.processes) > 1
    one_of_several = bool(mesh.edge) and _is_gateway(process) and several and not drained
    called = await _healthy(socket) if one_of_several else 0
    if one_of_several and called < 2:
        raise Problem(f"{process.name} is the only gateway that can be called now; `hybrid status` says why")
    assert process.pid is not None
    if process.name in mesh.succeeding:
        os.kill(mesh.pid, signal.SIGUSR2)
        await _until_served(home, process, called, until)
        return
    # Unlike its number, a descriptor never comes to mean another process.
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        raise Problem(f"{process.name} has just ended; its successor is on its way") from None
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        await _until_served(home, process, called, until)
    finally:
        os.close(descriptor)


async def _until_served(home: Home, before: ProcessState, called: int, until: float) -> None:
    while not await _serves(home, before, called):
        if time.monotonic() > until:
            raise Problem(f"{before.name} does not serve again yet; see {home.log(before.name)}")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _serves(home: Home, before: ProcessState, called: int) -> bool:
    """Whether a successor is ready, and the edge calls as many gateways as before."""
    mesh = required(home)
    now = _named(mesh, before.name)
    if now.state != "ready" or now.pid == before.pid or not await _known(mesh, now):
        return False
    return not called or await _healthy(home.path / admin.SOCKET) >= called


async def _known(mesh: MeshState, process: ProcessState) -> bool:
    """Whether every router that can be asked places on the process again, or would, if that is a worker at all.

    Until it does, the next worker to be restarted might be the only one that it knows to be well.
    """
    credentials = proof.of_mesh(mesh)
    for workers in await asyncio.gather(*(fleet([address], credentials) for address in mesh.routers)):
        known = next((worker for worker in workers or () if worker.worker == process.name), None)
        if known is not None and (known.health not in _WELL or known.pid != process.pid):
            return False
    return True


async def _healthy(socket: pathlib.Path) -> int:
    """How many gateways the edge calls."""
    with contextlib.suppress(OSError):
        return (await admin.counts(socket, _HEALTHY))[_HEALTHY]
    return 0


def _is_gateway(process: ProcessState) -> bool:
    return re.fullmatch(r"gateway(-\d+)?", process.name) is not None


def _named(mesh: MeshState, name: str) -> ProcessState:
    able = {each.name: each for each in mesh.processes if each.state != "done" and each.name not in _FIXED}
    if name not in able:
        raise Problem(f"`{name}` cannot be restarted; there are: {', '.join(able)}", code=2)
    return able[name]
