"""The router as a process."""

import asyncio
import contextlib
import datetime
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis.channel import open_channel
from tests.router.harness import Gateway, ScriptedWorker

_CONFIG = """
providers:
  main: {kind: echo, models: [pm], workers: ["unix:w0.sock", "unix:w1.sock"]}
models:
  - {name: m, routes: [{provider: main}]}
router: {listen: "unix:router.sock"}
metrics: {listen: "unix:{process}.metrics.sock"}
"""


@contextlib.asynccontextmanager
async def process_of(home: pathlib.Path, config: str = _CONFIG) -> AsyncIterator[asyncio.subprocess.Process]:
    (home / "mesh.yaml").write_text(config, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.router",
        "--config",
        "mesh.yaml",
        cwd=home,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(pathlib.Path(path).resolve()) for path in (".", "gen"))},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(channel: grpc.aio.Channel, status: int) -> None:
    """Wait until the process says of itself that it serves, or that it does not."""
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
    try:
        async with asyncio.timeout(15):
            async for response in call:
                if response.status == status:
                    return
    finally:
        call.cancel()


async def scraped(path: pathlib.Path) -> str:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = await reader.read()
    writer.close()
    return text.decode()


async def scraped_until(path: pathlib.Path, line: str) -> None:
    """Wait until the process's metrics say something."""
    async with asyncio.timeout(30):
        while line not in await scraped(path):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def _tells(worker: ScriptedWorker) -> None:
    """Report as often as a worker has to, so that it is believed."""
    while True:
        await asyncio.sleep(0.5)
        worker.say(worker.status)


async def test_it_places_counts_and_stops_at_once_even_while_a_gateway_is_there(home: pathlib.Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for index in range(2):
            worker = ScriptedWorker(f"unix:{home}/w{index}.sock")
            await worker.start()
            stack.push_async_callback(worker.stop)
            stack.callback(asyncio.create_task(_tells(worker)).cancel)
        for _ in range(3):  # what else the machine does makes some of them slow
            took = await _stopped(home)
            if took < 2.0:
                break
        assert took < 2.0


async def _stopped(home: pathlib.Path) -> float:
    """Have a router place something, and stop it while its gateway is there. Returns the seconds that this takes."""
    async with contextlib.AsyncExitStack() as stack:
        process = await stack.enter_async_context(process_of(home))
        channel = await stack.enter_async_context(open_channel(f"unix:{home}/router.sock"))
        await until(channel, health_pb2.HealthCheckResponse.SERVING)
        gateway = await Gateway(router_grpc.RouterServiceStub(channel)).hello()
        placed = await gateway.placed()
        metrics = await scraped(home / "router.metrics.sock")
        assert 'hybrid_router_placements_total{kind="first",role="primary",strategy="least_loaded",' in metrics
        assert f'hybrid_router_leases{{worker="{placed.worker}"}} 1.0' in metrics
        healthy = 'hybrid_router_worker_health{health="healthy",worker="main-1"} 1.0'
        await scraped_until(home / "router.metrics.sock", healthy)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        took = time.monotonic() - begun
        assert await gateway.code() is not grpc.StatusCode.OK
        assert not list(home.glob("router*.sock"))
    return took


async def test_it_serves_after_two_seconds_even_where_a_worker_never_reports(home: pathlib.Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        worker = ScriptedWorker(f"unix:{home}/w0.sock")
        await worker.start()
        stack.push_async_callback(worker.stop)
        begun = time.monotonic()
        process = await stack.enter_async_context(process_of(home))
        channel = await stack.enter_async_context(open_channel(f"unix:{home}/router.sock"))
        await until(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
        gateway = Gateway(router_grpc.RouterServiceStub(channel))
        await gateway.opened()
        assert time.monotonic() - begun >= 2.0, "a stream is not open before the fleet is known"
        await until(channel, health_pb2.HealthCheckResponse.SERVING)
        await gateway.hello()
        assert {(await gateway.placed()).worker for _ in range(3)} == {"main-0"}
        process.terminate()
        _, log = await process.communicate()
    told = [json.loads(line) for line in log.decode().splitlines() if line.startswith("{")]
    at = {line["event"]: datetime.datetime.fromisoformat(line["timestamp"]) for line in told}
    assert at["router.serving"] - at["server.listening"] < datetime.timedelta(seconds=4)


async def test_a_bad_configuration_is_refused_with_the_line(home: pathlib.Path) -> None:
    async with process_of(home, _CONFIG + "modells: []\n") as process:
        _, error = await process.communicate()
    assert process.returncode == 2
    assert b"mesh.yaml:8: `modells` is not known" in error
    assert b"Traceback" not in error


async def test_one_that_is_killed_while_its_file_is_wrong_begins_with_what_it_took_last(home: pathlib.Path) -> None:
    async with process_of(home) as process, open_channel(f"unix:{home}/router.sock") as channel:
        await until(channel, health_pb2.HealthCheckResponse.SERVING)
        process.kill()
    async with process_of(home, _CONFIG.replace("models:\n", "modles:\n")) as process:
        assert process.stderr is not None
        said = ""
        async with asyncio.timeout(15), open_channel(f"unix:{home}/router.sock") as channel:
            while "config.last_good" not in said:
                said += (await process.stderr.readline()).decode()
            await until(channel, health_pb2.HealthCheckResponse.SERVING)
        assert "did you mean `models`?" in said
        metrics = await scraped(home / "router.metrics.sock")
        assert "hybrid_config_last_reload_successful 0.0" in metrics
        assert 'hybrid_config_reloads_total{result="refused"} 1.0' in metrics
        (home / "mesh.yaml").write_text(_CONFIG, encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        await scraped_until(home / "router.metrics.sock", "hybrid_config_last_reload_successful 1.0")


async def test_one_that_has_taken_nothing_ends_with_exit_code_2_where_its_file_is_wrong(home: pathlib.Path) -> None:
    async with process_of(home, _CONFIG.replace("models:\n", "modles:\n")) as process, asyncio.timeout(15):
        assert await process.wait() == 2
