"""Which processes there are, and their order."""

import pathlib
import signal
import sys

import pytest

from services.chassis import config, grpc_waits
from services.cli import plan, surroundings
from services.cli.home import Home
from services.cli.postgres import Embedded
from services.cli.spec import Spec
from services.config.mesh import MeshConfig

SOURCES = plan.Sources(
    config=pathlib.Path("/etc/mesh.yaml"),
    migrations=pathlib.Path("/migrations"),
    envoy=lambda number: ("/bin/envoy", "--restart-epoch", str(number)),
    engine_python=lambda: "/engine/python",
)
OWN = """
providers: {a: {kind: echo, workers: 2}, v: {kind: vllm, model: /models/m}}
models: [{name: m, routes: [{provider: a}, {provider: v}]}]
ledger: {dsn: "postgresql://user:secret@db/ledger"}
"""


def planned(text: str, embedded: Embedded | None = None) -> dict[str, Spec]:
    mesh = config.parse(text, MeshConfig, source="mesh.yaml", environment={})
    return {spec.name: spec for spec in plan.specs(mesh, SOURCES, {"PATH": "/bin"}, embedded)}


@pytest.fixture
def demo(home: Home) -> dict[str, Spec]:
    embedded = Embedded(home, pathlib.Path("/pg"), home.postgres / "socket", ())
    return planned(surroundings.DEMO.read_text(), embedded)


def test_every_process_waits_only_for_those_that_exist_and_without_a_circle(demo: dict[str, Spec]) -> None:
    started: set[str] = set()
    while len(started) < len(demo):
        able = {name for name, spec in demo.items() if name not in started and started.issuperset(spec.after)}
        assert able
        started |= able


def test_the_edge_opens_when_everything_else_is_ready(demo: dict[str, Spec]) -> None:
    assert {"gateway", "loader", "echo-0", "echo-1"} == set(demo["envoy"].after)
    assert demo["gateway"].after == ("router", "migrations")
    assert demo["migrations"].after == ("postgres",)


def test_workers_load_while_the_database_starts(demo: dict[str, Spec]) -> None:
    assert demo["echo-0"].after == ()


def test_whoever_gives_work_is_stopped_before_whoever_does_it(demo: dict[str, Spec]) -> None:
    order = sorted(demo, key=lambda name: -demo[name].tier)
    wanted = ["envoy", "gateway", "loader", "router", "admin", "echo-0", "echo-1", "migrations", "initdb", "postgres"]
    assert order == wanted


def test_a_database_of_ones_own_is_not_started_and_its_password_is_in_no_argument() -> None:
    specs = planned(OWN)
    assert "postgres" not in specs
    assert not [part for spec in specs.values() for part in spec.command if "secret" in part]


def test_the_tables_of_ones_own_database_are_checked_and_those_of_the_embedded_one_made(demo: dict[str, Spec]) -> None:
    tables = planned(OWN)["migrations"]
    assert tables.command[1:] == ("-m", "services.gateway.schema", "--config", "/etc/mesh.yaml")
    assert "DATABASE_URL" not in tables.environment
    assert demo["migrations"].command[-1] == "up"
    assert demo["migrations"].environment["DATABASE_URL"].startswith("postgresql://postgres@/hybridinference?host=")


def test_only_a_vllm_worker_runs_in_the_engines_environment() -> None:
    specs = planned(OWN)
    assert specs["v-0"].command[0] == "/engine/python"
    assert {specs[name].command[0] for name in ("a-0", "a-1", "router", "gateway", "loader")} == {sys.executable}


def test_grpc_waits_for_sockets_in_its_own_thread_where_no_engine_is_forked_and_the_user_says_nothing_else() -> None:
    specs = planned(OWN)
    with_it = {name for name, spec in specs.items() if grpc_waits.ENVIRONMENT.items() <= spec.environment.items()}
    assert with_it == {"a-0", "a-1", "router", "gateway", "admin"}
    mesh = config.parse(OWN, MeshConfig, source="mesh.yaml", environment={})
    told = {spec.name: spec for spec in plan.specs(mesh, SOURCES, {"GRPC_EXPERIMENTS": ""}, None)}
    assert told["gateway"].environment["GRPC_EXPERIMENTS"] == ""


def test_units_and_the_image_without_engines_wait_for_sockets_as_the_command_has_it() -> None:
    (told,) = (f"{name}={value}" for name, value in grpc_waits.ENVIRONMENT.items())
    infrastructure = surroundings.CLONE / "infrastructure"
    with_it = {path.name for path in infrastructure.rglob("*") if path.is_file() and told.encode() in path.read_bytes()}
    units = {f"hybridinference-{name}.service" for name in ("admin", "gateway@", "router@")}
    assert with_it == {*units, "Dockerfile"}


def test_a_host_that_means_every_address_is_reached_on_loopback() -> None:
    assert [plan.reachable(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == ["127.0.0.1", "127.0.0.1", "10.0.0.1"]


def test_each_gateway_has_a_loader_and_the_edge_waits_for_all_of_them() -> None:
    specs = planned(f"{OWN}gateway: {{instances: 2}}\n")
    assert {"gateway", "gateway-2", "loader", "loader-2"} < set(specs["envoy"].after)
    for name, gateway in (("gateway", "gateway"), ("gateway-2", "gateway-2"), ("loader-2", "gateway-2")):
        command = specs[name].command
        assert command[command.index("--gateway") + 1] == gateway


def test_the_admin_process_is_there_whether_callers_need_keys_or_not_and_nobody_waits_for_it(
    demo: dict[str, Spec],
) -> None:
    for specs in (demo, planned(OWN), planned(f"{OWN}access: {{keyless: true}}\n")):
        assert specs["admin"].after == ("migrations",)
        assert not [spec.name for spec in specs.values() if "admin" in spec.after]


def test_an_envoy_takes_over_from_the_one_before_and_all_others_have_to_end_first(demo: dict[str, Spec]) -> None:
    assert [spec.name for spec in demo.values() if spec.succeed is not None] == ["envoy"]
    succeed = demo["envoy"].succeed
    assert succeed is not None
    assert (demo["envoy"].command[-1], succeed(2).command[-1]) == ("0", "2")


def test_gateways_are_not_told_to_wait_for_an_edge_that_has_gone() -> None:
    specs = planned(OWN)
    assert specs["gateway"].stop_signal == signal.SIGINT
    assert specs["envoy"].tier > specs["gateway"].tier


HOSTS = """
ledger: {dsn: "postgresql://db/ledger"}
mtls: {ca: ca.pem, certificate: "{process}.pem", key: "{process}.key"}
gateway: {listen: ["10.0.0.1:7000", "10.0.0.2:7000"]}
router: {listen: ["10.0.0.1:7001", "10.0.0.3:7001"]}
providers:
  a: {kind: echo, workers: ["10.0.0.1:7100", "10.0.0.3:7100"]}
  v: {kind: vllm, model: /models/m, workers: ["10.0.0.3:7200"]}
models: [{name: m, routes: [{provider: a}, {provider: v}]}]
hosts:
  one: [envoy, gateway, router, admin, a-0]
  two: [envoy, gateway-2]
  three: [router-2, a-1, v-0]
"""


def planned_on(host: str) -> dict[str, Spec]:
    mesh = config.parse(HOSTS, MeshConfig, source="mesh.yaml", environment={})
    return {spec.name: spec for spec in plan.specs(mesh, SOURCES, {"PATH": "/bin"}, None, host)}


def test_a_host_runs_what_it_is_given_with_loaders_beside_their_gateways() -> None:
    wanted = {
        "one": {"migrations", "a-0", "router", "admin", "loader", "gateway", "envoy"},
        "two": {"migrations", "loader-2", "gateway-2", "envoy"},
        "three": {"a-1", "v-0", "router-2"},
    }
    assert {host: set(planned_on(host)) for host in wanted} == wanted


@pytest.mark.parametrize("host", ["one", "two", "three"])
def test_nobody_waits_for_a_process_of_another_host(host: str) -> None:
    specs = planned_on(host)
    assert {name for spec in specs.values() for name in spec.after} <= specs.keys()


def test_an_engine_is_looked_for_only_where_it_runs() -> None:
    def missing() -> str:
        raise AssertionError

    mesh = config.parse(HOSTS, MeshConfig, source="mesh.yaml", environment={})
    sources = plan.Sources(SOURCES.config, SOURCES.migrations, SOURCES.envoy, missing)
    assert plan.specs(mesh, sources, {}, None, "one")
