"""A worker process with a real engine, for tests that may kill it."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import grpc
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.cli.setup.environment import engine_environment
from services.cli.setup.models import smollm2_directory
from tests.workers.vllm.adapter import write_adapter

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
_CONFIG = """\
providers:
  local:
    kind: vllm
    model: {model}
    served_model: smollm2
    drain_seconds: 5
    engine_args: {{max_num_seqs: 4, block_size: 32}}
{features}
models:
  - {{name: smollm2, routes: [{{provider: local, model: smollm2}}]}}
"""
_FEATURES = """\
    tool_parser: hermes
    chat_template: {template}
    lora_adapters: {{small: {{path: small}}, large: {{path: large}}}}
"""
TEMPLATE = pathlib.Path(__file__).with_name("tools.jinja")
_TICKS = os.sysconf("SC_CLK_TCK")


class WorkerProcess:
    """A worker that serves."""

    def __init__(self, home: pathlib.Path, popen: "subprocess.Popen[bytes]") -> None:
        self.popen = popen
        self.address = f"unix:{home}/run/worker-local-0.sock"
        self.log = home / "log"
        self.engine_pid = 0

    def wait_until_serving(self, seconds: float) -> None:
        """Wait for the model; meanwhile the worker must say that it is loading."""
        seen, progress = [], []
        with grpc.insecure_channel(self.address) as channel:
            reports = worker_grpc.WorkerServiceStub(channel).WatchStatus(
                worker.WatchStatusRequest(), timeout=seconds, wait_for_ready=True
            )
            for report in reports:
                seen.append(report.status.state)
                if report.status.HasField("loading_progress"):
                    progress.append(report.status.loading_progress)
                if report.status.state == worker_status.WORKER_STATE_SERVING:
                    break
            reports.cancel()
        assert seen[0] == worker_status.WORKER_STATE_LOADING, seen
        assert progress == sorted(progress)
        assert len(set(progress)) >= 3, progress
        (self.engine_pid,) = children(self.popen.pid)

    def engine_cpu_seconds(self) -> float:
        """Time on the CPU that the engine's process has had."""
        fields = pathlib.Path(f"/proc/{self.engine_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def children(pid: int) -> list[int]:
    """Running engines whose parent that is."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            if "VLLM::" in name and int(rest.split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether that process runs; a zombie does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    """Whether that process ends in time."""
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


@contextlib.contextmanager
def running_worker(*, features: bool = False) -> Iterator[WorkerProcess]:
    """A worker process whose model is loaded, with tools and adapters if wanted; nothing of it is left afterwards."""
    engine, model = engine_environment(), smollm2_directory()
    assert engine.ready, "no engine environment: run python3.11 -m services.cli.setup engine"
    assert model.is_dir(), "no model: run python3.11 -m services.cli.setup model"
    home = pathlib.Path(tempfile.mkdtemp(prefix="hybrid-"))  # pytest's own paths are too long for a socket
    (home / "run").mkdir()
    if features:
        write_adapter(home / "small", scale=1e-6)
        write_adapter(home / "large", scale=0.5)
    more = _FEATURES.format(template=TEMPLATE) if features else ""
    (home / "mesh.yaml").write_text(_CONFIG.format(model=model, features=more))
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "gen")])
    with open(home / "log", "wb") as log:
        popen = subprocess.Popen(
            [engine.python, "-m", "services.workers", "--config", "mesh.yaml", "--worker", "local-0"],
            cwd=home,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = WorkerProcess(home, popen)
    try:
        process.wait_until_serving(90)
        yield process
    finally:
        # pytest shows it when a test has failed.
        print(f"worker exit status {popen.poll()}", process.log.read_text(errors="replace")[-4000:], sep="\n")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait(10)
        shutil.rmtree(home, ignore_errors=True)
