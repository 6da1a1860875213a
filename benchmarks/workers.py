"""`python -m benchmarks.workers`: CPU per streamed token of each kind of worker alone, and what it is spent on.

A worker of its own process has one session with a client that reads as a gateway does. Vendors are a plain server that
writes their events by one timer; vLLM's engine is the real one, and its process is counted apart.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import psutil
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from benchmarks import cpu, profile, report
from benchmarks.calibration import calibrate
from benchmarks.child import ENVIRONMENT, child
from benchmarks.quantiles import spread
from benchmarks.system import free_port, temporary_home

KINDS = ("echo", "openai", "gemini", "vllm")
_RESULTS = pathlib.Path(__file__).parent / "results"
_MODELS = "models: [{name: m, routes: [{provider: w}]}]\n"
_SETTLE_SECONDS = 1.0
_LOADING_SECONDS = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A worker that serves: its address, the model to ask for, its processes by role."""

    kind: str
    address: str
    model: str
    processes: dict[str, list[int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """What one window showed."""

    tokens: int
    seconds: float
    batches: int
    processes: dict[str, cpu.Usage]
    calibration_ms: float
    load_average: float

    def cost(self, role: str) -> float:
        """CPU of a role per token, in µs."""
        return self.processes[role].ns / 1e3 / self.tokens


@contextlib.contextmanager
def subject(kind: str, *, token_ms: float) -> Iterator[Subject]:
    """A worker of that kind, with what it needs behind it; nothing of it is left afterwards."""
    with contextlib.ExitStack() as stack:
        python, model, provider = sys.executable, "m", ""
        if kind == "echo":
            provider = f"{{kind: echo, models: [m], token_ms: {token_ms}}}"
        elif kind == "vllm":
            python, model, provider = _engine()
        else:
            port = free_port()
            stack.enter_context(
                child("benchmarks.source", "--port", str(port), "--token-ms", str(token_ms), "--wire", kind)
            )
            base = f"http://127.0.0.1:{port}" + ("/v1" if kind == "openai" else "")
            provider = f"{{kind: {kind}, base_url: '{base}', api_keys: [none], models: [m]}}"
        home = stack.enter_context(temporary_home())
        (home / "run").mkdir()
        (home / "mesh.yaml").write_text(f"providers: {{w: {provider}}}\n{_MODELS}", encoding="utf-8")
        log = stack.enter_context(open(home / "log", "wb"))
        process = subprocess.Popen(
            [python, "-m", "services.workers", "--config", "mesh.yaml", "--worker", "w-0"],
            cwd=home,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_end, process)
        address = f"unix:{home}/run/worker-w-0.sock"
        _wait_until_serving(address, process)
        roles = {"worker": [process.pid]}
        engines = [one.pid for one in psutil.Process(process.pid).children()]
        yield Subject(kind, address, model, roles | ({"engine": engines} if engines else {}))


def _engine() -> tuple[str, str, str]:
    """The interpreter that has the engine, the model's name, and the provider's configuration."""
    from services.cli.setup.environment import engine_environment
    from services.cli.setup.models import smollm2_directory

    settings = "{max_num_seqs: 32, kv_cache_memory_bytes: 1073741824}"
    provider = f"{{kind: vllm, model: '{smollm2_directory()}', served_model: m, engine_args: {settings}}}"
    return str(engine_environment().python), "m", provider


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_serving(address: str, process: "subprocess.Popen[bytes]") -> None:
    with grpc.insecure_channel(address) as channel:
        stub = worker_grpc.WorkerServiceStub(channel)
        reports = stub.WatchStatus(worker.WatchStatusRequest(), timeout=_LOADING_SECONDS, wait_for_ready=True)
        for told in reports:
            if told.status.state == worker_status.WORKER_STATE_SERVING:
                reports.cancel()
                return
            if process.poll() is not None:
                raise RuntimeError(f"the worker has ended with {process.returncode}")


def measure(one: Subject, *, streams: int, seconds: float) -> Window:
    """Put the streams on the worker for a window.

    Raises:
        RuntimeError: an attempt failed, or nothing came.
    """
    calibration = calibrate()
    with _client(one, streams) as client:
        processes = {**one.processes, "client": [client.pid]}
        time.sleep(_SETTLE_SECONDS)
        client.ask("begin")
        before, begun = cpu.sample(processes), time.perf_counter()
        time.sleep(seconds)
        after, lasted = cpu.sample(processes), time.perf_counter() - begun
        told = client.ask("report")
    if told["failures"] or not told["tokens"]:
        raise RuntimeError(f"{one.kind}: {told['failures'] or 'nothing came'}")
    share = lasted / told["seconds"]
    used = {role: after[role] - before[role] for role in processes}
    return Window(
        round(told["tokens"] * share), lasted, round(told["batches"] * share), used, calibration, os.getloadavg()[0]
    )


def _client(one: Subject, streams: int) -> Any:
    arguments = ["--address", one.address, "--model", one.model, "--streams", str(streams)]
    return child("benchmarks.attempts", *arguments, *(["--echo"] if one.kind == "echo" else []), seconds=60)


def layers(one: Subject, window: Window, *, streams: int, seconds: float) -> dict[str, float]:
    """µs of the worker's CPU per token, by what it is spent on; shares by py-spy's samples, sums by the kernel."""
    threads = {name: ns / 1e3 / window.tokens for name, ns in window.processes["worker"].threads.items()}
    with _client(one, streams):
        time.sleep(_SETTLE_SECONDS)
        found = profile.fold(profile.samples(one.processes["worker"][0], seconds=seconds), profile.worker_layer)
    main = threads.pop("main")
    other = {"other threads": sum(threads.values())}
    return {name: main * count / found.total() for name, count in found.most_common()} | other


def table(windows: dict[str, list[Window]]) -> str:
    """A row for each kind of worker."""
    lines = ["| worker | worker, µs per token | engine, µs per token | tokens/s | tokens per message |"]
    lines.append("|---|---:|---:|---:|---:|")
    for kind, kept in windows.items():
        engine = _cell([one.cost("engine") for one in kept]) if "engine" in kept[0].processes else "–"
        cells = [_cell([one.cost("worker") for one in kept]), engine]
        cells += [_cell([one.tokens / one.seconds for one in kept]), _cell([one.tokens / one.batches for one in kept])]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    spent = spread(values)
    return f"{spent['median']:.1f} ({spent['min']:.1f}–{spent['max']:.1f})"


def _kept(windows: dict[str, list[Window]], spent: dict[str, dict[str, float]]) -> str:
    content = {
        "command": " ".join(["python -m benchmarks.workers", *sys.argv[1:]]),
        "machine": report.machine(),
        "versions": report.versions(),
        "workers": {kind: [dataclasses.asdict(one) for one in kept] for kind, kept in windows.items()},
        "layers_us_per_token": spent,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def run(arguments: argparse.Namespace) -> None:
    """Measure each kind, round after round, and say what it is spent on."""
    windows: dict[str, list[Window]] = {kind: [] for kind in arguments.kinds}
    spent: dict[str, dict[str, float]] = {}
    for kind in arguments.kinds:
        with subject(kind, token_ms=arguments.token_ms) as one:
            for _ in range(arguments.rounds):
                windows[kind].append(measure(one, streams=arguments.streams, seconds=arguments.seconds))
            if arguments.profile:
                spent[kind] = layers(one, windows[kind][-1], streams=arguments.streams, seconds=arguments.seconds)
    print(table(windows))
    for kind, found in spent.items():
        print(f"\n{kind}:")
        print("\n".join(f"  {us:8.1f}  {name}" for name, us in found.items() if us >= 0.05))
    if arguments.name:
        print(report.keep(arguments.results, arguments.name, "json", _kept(windows, spent)))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"kinds of workers: {', '.join(KINDS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a window")
    parser.add_argument("--streams", type=int, default=32, help="number of streams")
    parser.add_argument("--token-ms", type=float, default=10.0, help="time between the tokens of a stream")
    parser.add_argument("--profile", action="store_true", help="also say what it is spent on (needs py-spy's rights)")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    unknown = set(arguments.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are: {', '.join(KINDS)}")
    arguments.kinds = arguments.kinds or list(KINDS)
    run(arguments)


if __name__ == "__main__":
    main()
