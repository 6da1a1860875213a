"""The worker as a process."""

import asyncio
import contextlib
import os
import pathlib
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis.channel import open_channel
from tests.fakes import eventually, spec

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_CONFIG = """
providers:
  demo: {kind: echo, models: [scripted], loading_ms: LOADING}
models:
- {name: demo, routes: [{provider: demo}]}
"""
_SOCKET = "run/worker-demo-0.sock"
_METRICS = "run/demo-0.metrics.sock"


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        yield pathlib.Path(directory)


@contextlib.asynccontextmanager
async def _process(
    home: pathlib.Path, *, loading_ms: int = 0, name: str = "demo-0", config: str = _CONFIG
) -> AsyncIterator[asyncio.subprocess.Process]:
    (home / "mesh.yaml").write_text(config.replace("LOADING", str(loading_ms)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.workers", "--config", "mesh.yaml", "--worker", name),
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'gen'}"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def _channel(home: pathlib.Path) -> AsyncIterator[grpc.aio.Channel]:
    await eventually((home / _SOCKET).exists, seconds=10)  # asked any earlier, the channel would wait before it retries
    async with open_channel(f"unix:{home}/{_SOCKET}") as channel:
        yield channel


async def _ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_it_loads_serves_finishes_its_work_on_sigterm_and_leaves_nothing(home: pathlib.Path) -> None:
    async with _process(home, loading_ms=2000) as process, _channel(home) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        asked = spec()
        asked.provider_options_json = '{"echo": {"tokens": 20, "token_ms": 25}}'
        call = worker_grpc.WorkerServiceStub(channel).Execute(worker.ExecuteRequest(spec=asked))
        await call.read()
        process.send_signal(signal.SIGTERM)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        last = worker.ExecuteResponse()
        while (response := await call.read()) is not grpc.aio.EOF:
            last = response
        assert last.event.finished.reasons == [generation.FINISH_REASON_STOP]
        watch.cancel()
        code, log = await _ended(process)
    assert code == 0, log
    assert "hello" not in log
    assert "scripted" in log
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    assert left[:-1] == ["mesh.yaml", "run", "run/last-good"]
    assert left[-1].endswith(".worker.demo-0"), "but for what it would begin with were its file wrong"


async def test_its_metrics_answer_on_their_socket(home: pathlib.Path) -> None:
    async with _process(home) as process, _channel(home) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        reader, writer = await asyncio.open_unix_connection(str(home / _METRICS))
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = (await asyncio.wait_for(reader.read(), 5)).decode()
        writer.close()
        process.send_signal(signal.SIGTERM)
        code, log = await _ended(process)
    assert code == 0, log
    assert "hybrid_worker_attempts_running 0.0" in answer
    assert "grpc_server_started_total" in answer


async def test_a_stop_while_it_loads_is_obeyed_at_once(home: pathlib.Path) -> None:
    async with _process(home, loading_ms=60_000) as process, _channel(home) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        process.send_signal(signal.SIGTERM)
        code, log = await _ended(process)
    assert code == 0, log
    assert "worker.stopped_while_loading" in log
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    assert left[:-1] == ["mesh.yaml", "run", "run/last-good"]
    assert left[-1].endswith(".worker.demo-0"), "but for what it would begin with were its file wrong"


async def test_a_name_that_is_not_in_the_configuration_is_told(home: pathlib.Path) -> None:
    async with _process(home, name="demo-7") as process:
        code, log = await _ended(process)
    assert code == 2
    assert "no worker demo-7; there are: demo-0" in log
    assert "Traceback" not in log


async def test_a_bad_configuration_is_told_with_its_line(home: pathlib.Path) -> None:
    async with _process(home, config=_CONFIG + "unknown: 1\n") as process:
        code, log = await _ended(process)
    assert code == 2
    assert log.strip() == "mesh.yaml:6: `unknown` is not known"


async def test_a_second_process_on_the_address_gives_up_and_leaves_the_first_alone(home: pathlib.Path) -> None:
    async with _process(home) as first, _channel(home) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        await check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        async with _process(home) as second:
            code, log = await _ended(second)
        assert code == 1
        assert "another process serves on this address" in log
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(home / _SOCKET))
            probe.close()
        first.send_signal(signal.SIGTERM)
        assert (await _ended(first))[0] == 0
