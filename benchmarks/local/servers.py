"""vLLM's own servers."""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

import grpc
import psutil

from benchmarks.local.settings import MODEL, Settings
from benchmarks.system import System, free_port
from services.cli.setup.environment import CLONE, Environment, engine_environment

_HTTP = "vllm.entrypoints.launchers.api_server.entry"
_GRPC = "vllm.entrypoints.launchers.grpc_server"
_LOADING_SECONDS = 900.0
_STOP_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class GrpcServer:
    """vLLM's gRPC server, which speaks of token ids and needs somebody in front of it."""

    port: int
    processes: Mapping[str, Sequence[int]]


def grpc_environment() -> Environment:
    """The engine's environment with the servicer of vLLM's gRPC server."""
    return Environment("engine-grpc", CLONE / "requirements" / "engine-grpc.lock")


@contextlib.contextmanager
def vllm_http(settings: Settings, log: pathlib.Path) -> Iterator[System]:
    """vLLM's HTTP server, ready to answer."""
    port = free_port()
    command = [str(engine_environment().python), "-m", _HTTP, *settings.command_line()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--disable-uvicorn-access-log"]
    with _running(command, settings, log) as process:
        _wait(process, log, lambda: _healthy(port))
        yield System("vllm", port, roles("vllm", process.pid), model=MODEL)


@contextlib.contextmanager
def vllm_grpc(settings: Settings, log: pathlib.Path) -> Iterator[GrpcServer]:
    """vLLM's gRPC server, ready to answer."""
    port = free_port()
    command = [str(grpc_environment().python), "-m", _GRPC, *settings.command_line()]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with _running(command, settings, log) as process:
        _wait(process, log, lambda: _takes_calls(port))
        yield GrpcServer(port, roles("vllm", process.pid))


def roles(front: str, pid: int) -> dict[str, list[int]]:
    """A front-end's process and, apart from it, its engine's.

    Raises:
        RuntimeError: it has no engine.
    """
    engines = [one.pid for one in psutil.Process(pid).children() if "EngineCore" in " ".join(_names(one))]
    if not engines:
        raise RuntimeError(f"process {pid} has no engine")
    return {front: [pid], "engine": engines}


def _names(process: psutil.Process) -> Sequence[str]:
    with contextlib.suppress(psutil.Error):
        return [process.name(), *process.cmdline()]
    return []


@contextlib.contextmanager
def _running(command: Sequence[str], settings: Settings, log: pathlib.Path) -> Iterator["subprocess.Popen[bytes]"]:
    with open(log, "wb") as written:
        process = _started(command, settings, written)
    try:
        yield process
    finally:
        engines = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # vLLM's engine may outlive its front-end.
        for engine in engines:
            with contextlib.suppress(psutil.Error):
                engine.kill()


def _started(command: Sequence[str], settings: Settings, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.Popen(
        command,
        env={**inherited, **settings.environment()},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _wait(process: "subprocess.Popen[bytes]", log: pathlib.Path, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _LOADING_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"vLLM's server is not ready (exit status {process.poll()}):\n{end}")
        time.sleep(0.2)


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _takes_calls(port: int) -> bool:
    # It opens its port only once the model is loaded.
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=1)
        except grpc.FutureTimeoutError:
            return False
    return True
