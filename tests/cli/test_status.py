"""What `hybrid status` shows."""

import io

from google.protobuf import duration_pb2
from hybridinference.inference.v1 import worker_status_pb2
from hybridinference.router.v1 import fleet_pb2
from rich.console import Console

from services.cli import state
from services.cli.fleet import row
from services.cli.home import Home
from services.cli.state import MeshState, ProcessState
from services.cli.status import Status, duration, look, missing, rendered

MESH = MeshState(
    pid=7,
    state="ready",
    config="/etc/mesh.yaml",
    edge="http://127.0.0.1:8080",
    routers=("unix:run/router.sock",),
    dsn=None,
    models=("m",),
    processes=(
        ProcessState("migrations", None, "done", 0, 100.0),
        ProcessState("router", 70, "ready", 0, 100.0),
        ProcessState("gateway", None, "restarting", 3, 190.0),
    ),
)
WORKER = fleet_pb2.FleetWorker(
    worker="local-0",
    provider="local",
    health=fleet_pb2.WORKER_HEALTH_HEALTHY,
    leases=2,
    status=worker_status_pb2.WorkerStatus(kind="vllm", running=3, capacity=16, kv_usage=0.5, pid=71),
    first_content_latency=duration_pb2.Duration(nanos=12_000_000),
    routes=[fleet_pb2.FleetRoute(model="m", provider_model="p"), fleet_pb2.FleetRoute(model="m", provider_model="q")],
)


def shown(status: Status) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(rendered(status, now=200.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_missing_is_said() -> None:
    text = shown(Status("/home", MESH, None))
    assert "not there: gateway" in text
    assert "the router does not answer" in text
    assert missing(MESH) == ("gateway",)


def test_processes_and_workers_are_shown() -> None:
    lines = [line.split() for line in shown(Status("/home", MESH, (row(WORKER),))).splitlines()]
    assert ["router", "70", "ready", "1m"] in lines
    assert ["gateway", "restarting", "10s", "3"] in lines
    assert ["local-0", "local", "m", "healthy", "2", "3/16", "0", "50%", "12", "ms"] in lines


def test_a_home_without_a_mesh_is_no_mistake(home: Home) -> None:
    assert shown(look(home)) == f"no mesh is running in {home.path}\n"
    assert look(home).to_json()["running"] is False


def test_a_state_file_that_was_left_behind_is_no_mesh(home: Home) -> None:
    state.write(home, MESH)
    assert look(home).mesh is None


def test_the_state_is_read_as_it_was_written(home: Home) -> None:
    state.write(home, MESH)
    assert state.read(home) == MESH


def test_what_a_worker_has_not_said_is_absent() -> None:
    unknown = row(fleet_pb2.FleetWorker(worker="w", health=fleet_pb2.WORKER_HEALTH_UNREACHABLE))
    assert (unknown.health, unknown.kv_usage, unknown.first_content_ms) == ("unreachable", None, None)


def test_durations_are_short() -> None:
    assert [duration(seconds) for seconds in (-1, 0, 59.9, 60, 3600, 90_000)] == ["0s", "0s", "59s", "1m", "1h", "1d"]
