"""The router as a process whose configuration changes under load."""

import asyncio
import contextlib
import pathlib
import re
import signal
from collections.abc import Callable

import pytest
from grpc_health.v1 import health_pb2
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis.channel import open_channel
from tests.router.harness import Gateway, ScriptedWorker
from tests.router.test_process import process_of, scraped, until

_RELOADS = 100
_HEAD = 'router: {listen: "unix:router.sock", stale_seconds: 60}\nmetrics: {listen: "unix:{process}.metrics.sock"}\n'
_WARM = 20


def _config(number: int) -> str:
    """The first worker is always there, the other two come and go; each fifth is a mistake."""
    if number % 5 == 4:
        return ("models: [", _HEAD + "provders: {}\n", _HEAD.replace("router.sock", "r.sock") + _body(2))[number % 3]
    return _HEAD + _body(1 + number % 3) + f"flags: {{hedging: {{share: 0.{number:03}}}}}\n"


def _body(workers: int) -> str:
    addresses = ", ".join(f'"unix:w{index}.sock"' for index in range(workers))
    provider = f"providers:\n  main: {{kind: echo, models: [pm], workers: [{addresses}]}}\n"
    return provider + "models:\n  - {name: m, routes: [{provider: main}]}\n"


def _value(metrics: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE))


async def _metrics(home: pathlib.Path, fact: Callable[[str], bool]) -> str:
    """The router's metrics, once something holds of them."""
    async with asyncio.timeout(30):
        while True:
            text = await scraped(home / "router.metrics.sock")
            if fact(text):
                return text
            await asyncio.sleep(0.005)


class _Load:
    """Asks, and ends each attempt after some more have been placed."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.over = False
        self.workers: list[str] = []
        self._one_more = asyncio.Event()

    async def run(self) -> None:
        running: list[placement.Placement] = []
        while not self.over:
            running.append(await self._gateway.placed())
            self.workers.append(running[-1].worker)
            self._one_more.set()
            if len(running) > 8:
                await self._gateway.ended(running.pop(0).attempt_id)
            await asyncio.sleep(0.002)
        for placed in running:
            await self._gateway.ended(placed.attempt_id)

    async def further(self, placements: int) -> None:
        """Return when so many more have been placed than at the call.

        Raises:
            TimeoutError: They were not within ten seconds.
        """
        wanted = len(self.workers) + placements
        async with asyncio.timeout(30):
            while len(self.workers) < wanted:
                self._one_more.clear()
                await self._one_more.wait()


@pytest.mark.slow
async def test_a_hundred_changes_of_which_a_fifth_are_mistakes_disturb_nobody(home: pathlib.Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for index in range(3):
            worker = ScriptedWorker(f"unix:{home}/w{index}.sock")
            await worker.start()
            stack.push_async_callback(worker.stop)
        process = await stack.enter_async_context(process_of(home, _config(0)))
        channel = await stack.enter_async_context(open_channel(f"unix:{home}/router.sock"))
        await until(channel, health_pb2.HealthCheckResponse.SERVING)
        load = _Load(await Gateway(router_grpc.RouterServiceStub(channel)).hello())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        asking = tasks.create_task(load.run())
        warm = 0.0
        for number in range(1, _RELOADS + 1):
            draft = home / "mesh.new"
            draft.write_text(_config(number), encoding="utf-8")
            draft.rename(home / "mesh.yaml")
            process.send_signal(signal.SIGHUP)
            metrics = await _metrics(
                home, lambda text, wanted=number: _value(text, "hybrid_config_reloads_total") == wanted
            )
            assert _value(metrics, "hybrid_config_last_reload_successful") == (number % 5 != 4)
            await load.further(2)
            if number == _WARM:
                warm = _value(metrics, "process_resident_memory_bytes")
        load.over = True
        await asking
        assert _value(metrics, 'hybrid_config_reloads_total{result="applied"}') == 0.8 * _RELOADS
        assert _value(metrics, 'hybrid_config_reloads_total{result="refused"}') == 0.2 * _RELOADS
        assert _value(metrics, "hybrid_router_refusals_total") == 0
        assert set(load.workers) == {"main-0", "main-1", "main-2"}
        assert len(load.workers) >= 2 * _RELOADS
        print(f"{len(load.workers)} placements; {warm / 1e6:.1f} MB after {_WARM} changes")
        print(f"{_value(metrics, 'process_resident_memory_bytes') / 1e6:.1f} MB after {_RELOADS}")
        assert _value(metrics, "process_resident_memory_bytes") < 1.05 * warm
        await _metrics(home, lambda text: not _value(text, "hybrid_router_leases"))
