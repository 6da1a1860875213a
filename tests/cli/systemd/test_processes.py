"""What processes tell systemd while they start, live, take up a configuration and end."""

import asyncio
import os
import pathlib
import signal
import tempfile
from collections.abc import Iterator

import pytest
from grpc_health.v1 import health_pb2

from tests.cli.systemd.unit import CONFIG, PROCESSES, SERVING, Unit, answering, health

pytestmark = pytest.mark.slow


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="hy") as path:  # sockets below it, whose paths must be short
        (pathlib.Path(path) / "hybrid.yaml").write_text(CONFIG)
        yield pathlib.Path(path)


@pytest.fixture
def units(home: pathlib.Path) -> Iterator[dict[str, Unit]]:
    found = {name: Unit(home, name, *command) for name, command in PROCESSES.items()}
    yield found
    for unit in found.values():
        unit.close()


async def test_units_are_ready_once_they_serve_live_take_up_and_end_when_their_work_has(
    units: dict[str, Unit], home: pathlib.Path
) -> None:
    for name, unit in units.items():
        before = await unit.until("READY=1")
        if name in SERVING:
            assert await health(home, SERVING[name]) == health_pb2.HealthCheckResponse.SERVING
        assert not any("STOPPING=1" in each for each in before)
    for unit in units.values():
        await unit.until("WATCHDOG=1")

    router = units["router"]
    router.process.send_signal(signal.SIGHUP)
    told = await router.until("RELOADING=1")
    assert told[-1].splitlines()[1].startswith("MONOTONIC_USEC=")
    await router.until("READY=1")

    # One that is stuck says nothing, and one that goes on does.
    router.process.send_signal(signal.SIGSTOP)
    os.waitpid(router.process.pid, os.WUNTRACED)  # noqa: ASYNC222  # it stops at once
    router.heard()
    await asyncio.sleep(1.5)
    assert router.heard() == []
    router.process.send_signal(signal.SIGCONT)
    await router.until("WATCHDOG=1")

    async with answering(home) as stream:
        for name in ("gateway", "worker"):
            units[name].process.send_signal(signal.SIGTERM)
            await units[name].until("STOPPING=1")
        rest = [response async for response in stream]
        assert rest[-1].event.WhichOneof("event") == "finished"
    for name in ("gateway", "worker"):
        assert await units[name].ended() == 0
    for name in ("router", "loader"):
        units[name].process.send_signal(signal.SIGTERM)
        await units[name].until("STOPPING=1")
        assert await units[name].ended() == 0
    for unit in units.values():
        assert not any("READY=1" in each for each in unit.heard()), "ready again after it has stopped"


@pytest.mark.parametrize("postgres", ["embedded-18"], indirect=True)
async def test_the_admin_process_is_ready_once_it_serves(home: pathlib.Path, dsn: str) -> None:
    unit = Unit(home, "admin", "services.gateway.admin", "--dsn", dsn)
    try:
        await unit.until("READY=1")
        assert await health(home, "admin") == health_pb2.HealthCheckResponse.SERVING
        await unit.until("WATCHDOG=1")
        unit.process.send_signal(signal.SIGTERM)
        await unit.until("STOPPING=1")
        assert await unit.ended() == 0
    finally:
        unit.close()


async def test_a_process_that_cannot_start_is_never_ready(home: pathlib.Path) -> None:
    (home / "hybrid.yaml").write_text(CONFIG.replace("kind: echo", "kind: ecco"))
    unit = Unit(home, "router", *PROCESSES["router"])
    assert await unit.ended() == 2, "which units do not try again"
    assert unit.heard() == []
    unit.close()
