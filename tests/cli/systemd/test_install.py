"""The units that are written, without systemd: tests/ops has it look at them."""

import pathlib
import re
import subprocess
import sys

import pytest

from services.chassis import config as files
from services.cli import surroundings
from services.cli.problem import Problem
from services.cli.systemd import install, verify
from services.cli.systemd.files import HOME, MARK, Layout
from services.cli.systemd.instances import MIGRATE, Engine, Instance, instances, processes
from services.config import mesh

CONFIG = """\
ledger: {dsn: "${file:secrets/ledger.dsn}"}
gateway: {instances: 2, drain_seconds: 40}
router: {instances: 2}
providers:
  echo: {kind: echo}
  openai: {kind: openai, api_keys: ["${file:secrets/openai.key}"], models: [{name: gpt-4o}]}
  other: {kind: openai, api_keys: ["${file:secrets/other.key}"], models: [{name: x}], drain_seconds: 90}
  llama: {kind: vllm, model: meta/llama, devices: [2, 3]}
models:
  - {name: m, routes: [{provider: echo}]}
"""
ALL = ("echo-0", "openai-0", "other-0", "llama-0", "router", "router-2", "gateway", "gateway-2", "admin", "envoy")
LAYOUT = Layout(*map(pathlib.Path, ("/opt/hybrid", "/opt/cache/bin/python", "/opt/cache", "/etc/hi/hybrid.yaml")))


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "hybrid.yaml"
    path.write_text(CONFIG)
    (tmp_path / "secrets").mkdir()
    for name in ("ledger.dsn", "openai.key", "other.key"):
        (tmp_path / "secrets" / name).write_text(f"secret-of-{name}\n")
    return path


@pytest.fixture
def built(file: pathlib.Path) -> dict[str, Instance]:
    return of(file, ALL)


def of(file: pathlib.Path, names: tuple[str, ...], kind: str = "gpu") -> dict[str, Instance]:
    secrets = [(location, file.parent / path) for location, path in files.files_named(file)]
    engine = Engine("gpu" if kind == "gpu" else "cpu", "/opt/engine/bin/python")
    found = instances(mesh.load(file, {}), names, home=HOME, secrets=secrets, engine=engine)
    return {each.unit.removeprefix("hybridinference-").removesuffix(".service"): each for each in found}


def lines(instance: Instance, key: str, section: str = "Service") -> list[str]:
    return [line.partition("=")[2] for line in instance.lines.get(section, ()) if line.startswith(f"{key}=")]


def test_each_process_has_a_unit_and_each_gateway_a_loader(built: dict[str, Instance]) -> None:
    assert built.keys() == {
        *("worker@echo-0", "worker@openai-0", "worker@other-0", "worker@llama-0"),
        *("router@router", "router@router-2", "gateway@gateway", "gateway@gateway-2"),
        *("loader@gateway", "loader@gateway-2", "admin", "envoy", "migrate"),
    }


def test_a_secret_comes_only_to_the_units_that_need_it(built: dict[str, Instance], file: pathlib.Path) -> None:
    given = {name: [one.partition(":")[0] for one in lines(each, "LoadCredential")] for name, each in built.items()}
    assert {name for name, secrets in given.items() if "openai.key" in secrets} == {"worker@openai-0"}
    assert {name for name, secrets in given.items() if "other.key" in secrets} == {"worker@other-0"}
    reading = {"gateway@gateway", "gateway@gateway-2", "loader@gateway", "loader@gateway-2", "admin", "migrate"}
    assert {name for name, secrets in given.items() if "ledger.dsn" in secrets} == reading
    assert lines(built["worker@openai-0"], "LoadCredential") == [f"openai.key:{file.parent}/secrets/openai.key"]


def test_a_home_s_own_secrets_are_hidden_from_all_others(built: dict[str, Instance]) -> None:
    def seen(name: str) -> set[str]:
        hidden = {path.rpartition("/")[2] for path in lines(built[name], "InaccessiblePaths")}
        return {"pepper.key", "tenant.key", "admin.key", "spool", "spool-2"} - hidden

    assert seen("gateway@gateway-2") == {"pepper.key", "tenant.key", "spool-2"}
    assert seen("loader@gateway") == {"spool"}
    assert seen("admin") == {"pepper.key", "admin.key"}
    for name in ("worker@echo-0", "router@router", "envoy", "migrate"):
        assert seen(name) == set()


def test_keys_of_certificates_are_hidden_from_all_others_and_who_signs_from_everybody(file: pathlib.Path) -> None:
    mtls = "mtls: {ca: tls/ca.pem, certificate: 'tls/{process}.pem', key: '/etc/hi/tls/{process}.key'}\n"
    file.write_text(f"{mtls}edge: {{tls: {{certificate: tls/edge.crt, key: tls/edge.key}}}}\n{CONFIG}")
    keys = {"/etc/hi/tls/" + name + ".key" for name in (*ALL, "cli")} | {f"{HOME}/tls/edge.key"}
    for name, each in of(file, ALL).items():
        hidden = {path.removeprefix("-") for path in lines(each, "InaccessiblePaths")}
        own = {"/etc/hi/tls/" + name.rpartition("@")[2] + ".key"} if not name.startswith("loader") else set()
        assert keys - hidden == (own & keys) | ({f"{HOME}/tls/edge.key"} if name == "envoy" else set())
        assert f"{HOME}/authority" in hidden


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("gateway: {instances: 2,", "gateway: {spool: 'my spool', instances: 2,"),
        ("providers:", "access: {pepper: '/etc/hi/50%.key'}\nproviders:"),
        ("providers:", 'admin: {operators: [{name: a, credential: "x\\nExecStartPre=+/bin/sh"}]}\nproviders:'),
        ("secrets/other.key", "more secrets/other.key"),
    ],
)
def test_a_path_that_would_mean_something_else_in_a_unit_is_refused(
    file: pathlib.Path, setting: str, path: str
) -> None:
    (file.parent / "more secrets").mkdir()
    (file.parent / "more secrets" / "other.key").write_text("x")
    file.write_text(CONFIG.replace(setting, path))
    with pytest.raises(Problem, match="units cannot name"):
        of(file, ALL)


def test_a_stop_leaves_more_time_than_a_drain_takes(built: dict[str, Instance]) -> None:
    assert int(lines(built["gateway@gateway"], "TimeoutStopSec")[0]) > 40
    assert int(lines(built["envoy"], "TimeoutStopSec")[0]) > 40
    assert int(lines(built["worker@other-0"], "TimeoutStopSec")[0]) > 90


def test_what_gives_work_stops_before_what_does_it(built: dict[str, Instance]) -> None:
    routers = "hybridinference-router@router.service hybridinference-router@router-2.service"
    assert lines(built["gateway@gateway"], "After", "Unit") == [routers]
    assert lines(built["worker@openai-0"], "Before", "Unit") == [routers]
    assert "hybridinference-gateway@gateway-2.service" in lines(built["envoy"], "After", "Unit")[0]


def test_an_engine_keeps_nobody_waiting_at_a_start(built: dict[str, Instance]) -> None:
    assert not built["worker@llama-0"].lines["Unit"]


def test_an_engine_sees_its_gpus_and_no_other(built: dict[str, Instance]) -> None:
    worker = built["worker@llama-0"]
    devices = [one.split()[0] for one in lines(worker, "DeviceAllow")]
    assert [one for one in devices if re.fullmatch(r"/dev/nvidia\d+", one)] == ["/dev/nvidia2", "/dev/nvidia3"]
    assert "char-nvidia" not in devices
    assert lines(worker, "DevicePolicy") == ["closed"]
    assert lines(worker, "PrivateDevices") == ["no"]
    assert lines(worker, "ExecStart")[-1].startswith("/opt/engine/bin/python -m services.workers ")


def test_an_engine_on_the_cpu_sees_no_device(file: pathlib.Path) -> None:
    worker = of(file, ALL, "cpu")["worker@llama-0"]
    assert not lines(worker, "DeviceAllow")
    assert lines(worker, "RestrictNamespaces") == ["user net"]


def test_only_a_low_port_needs_a_privilege(file: pathlib.Path, built: dict[str, Instance]) -> None:
    assert not lines(built["envoy"], "AmbientCapabilities")
    file.write_text("edge: {port: 443}\n" + CONFIG)
    assert lines(of(file, ALL)["envoy"], "AmbientCapabilities") == ["CAP_NET_BIND_SERVICE"]


def test_a_host_has_the_units_of_its_processes(file: pathlib.Path) -> None:
    a, b = "[envoy, gateway, admin, router, echo-0, openai-0, other-0, llama-0]", "[gateway-2, router-2]"
    text = CONFIG.replace("gateway: {instances: 2,", "gateway: {listen: ['a:1', 'b:1'],")
    text = text.replace("router: {instances: 2}", "router: {listen: ['a:2', 'b:2']}")
    for number, name in enumerate(("echo", "openai", "other", "llama")):
        text = text.replace(f"  {name}: {{", f"  {name}: {{workers: ['a:{3 + number}'], ")
    file.write_text(f"encrypted_network: true\nhosts:\n  a: {a}\n  b: {b}\n{text}")
    config = mesh.load(file, {})
    found = of(file, processes(config, "b", "elsewhere"))
    assert found.keys() == {"gateway@gateway-2", "loader@gateway-2", "router@router-2", "migrate"}
    assert processes(config, None, "b") == config.hosts["b"]
    with pytest.raises(Problem, match="a, b"):
        processes(config, None, "elsewhere")
    with pytest.raises(Problem, match="a, b"):
        processes(config, "c", "a")


def test_without_hosts_all_processes_are_here(file: pathlib.Path) -> None:
    config = mesh.load(file, {})
    assert set(processes(config, None, "elsewhere")) == set(ALL)
    with pytest.raises(Problem, match="has no `hosts`"):
        processes(config, "a", "a")


def test_two_secrets_of_one_name_are_refused(file: pathlib.Path) -> None:
    file.write_text(CONFIG.replace("secrets/other.key", "more/openai.key"))
    (file.parent / "more").mkdir()
    (file.parent / "more" / "openai.key").write_text("x")
    with pytest.raises(Problem, match="by the last part alone"):
        of(file, ALL)


def test_a_name_that_no_unit_can_have_is_refused(file: pathlib.Path) -> None:
    file.write_text(CONFIG.replace("  echo:", "  écho:").replace("provider: echo", "provider: écho"))
    with pytest.raises(Problem, match="cannot be a unit's name"):
        of(file, ("écho-0",))


def content(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(install, "_engine", lambda *_: Engine("gpu", "/opt/engine/bin/python"))
    return install.content(file, None, LAYOUT)


def test_no_secret_and_no_placeholder_is_in_any_file(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = content(file, monkeypatch)
    for name, text in found.items():
        assert text.startswith(MARK), name
        assert "secret-of" not in text
        assert not re.search(r"\$\{|\{config\}", text), name
    assert "-m services.gateway --config /etc/hi/hybrid.yaml --gateway %i" in found["hybridinference-gateway@.service"]
    assert "kill -HUP $MAINPID" in found["hybridinference-gateway@.service"]


def test_the_target_wants_every_unit_but_the_one_for_tables(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = content(file, monkeypatch)
    wanted = re.search(r"^Wants=(.*)$", found["hybridinference.target.d/50-mesh.conf"], re.MULTILINE)
    assert wanted
    assert set(wanted[1].split()) | {MIGRATE} == {
        name.partition(".d/")[0] for name in found if name.endswith(".service.d/50-mesh.conf")
    }


def test_a_second_run_changes_nothing_and_takes_away_what_is_no_more(
    file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "units"
    directory.mkdir()
    first = content(file, monkeypatch)
    assert install.install(first, directory) == (list(first), [])
    assert install.install(first, directory) == ([], [])
    mine = directory / "hybridinference-gateway@.service.d" / "60-mine.conf"
    mine.parent.mkdir()
    mine.write_text("[Service]\nMemoryMax=4G\n")
    file.write_text(CONFIG.replace("instances: 2, drain", "drain"))
    changed, gone = install.install(content(file, monkeypatch), directory)
    assert gone == [
        "hybridinference-gateway@gateway-2.service.d/50-mesh.conf",
        "hybridinference-loader@gateway-2.service.d/50-mesh.conf",
    ]
    assert "hybridinference.target.d/50-mesh.conf" in changed
    assert not (directory / "hybridinference-gateway@gateway-2.service.d").exists()
    assert mine.exists()
    assert "hybridinference-gateway@gateway.service" in verify.units(directory)


def test_a_unit_of_somebody_else_is_left_alone(
    file: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "hybridinference.target"
    other.write_text("[Unit]\n")
    with pytest.raises(Problem, match="was not written by this command"):
        install.install(content(file, monkeypatch), tmp_path)
    assert other.read_text() == "[Unit]\n"


def test_the_embedded_database_is_refused(file: pathlib.Path) -> None:
    file.write_text(CONFIG.partition("\n")[2])
    with pytest.raises(Problem, match=r"ledger\.dsn.*server of their own"):
        install.content(file, None, LAYOUT)


def test_variables_are_those_of_the_units_and_not_of_the_shell(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(CONFIG.replace("echo: {kind: echo}", 'echo: {kind: echo, workers: "${COUNT}"}'))
    monkeypatch.setenv("COUNT", "3")
    with pytest.raises(Problem, match="COUNT is not set"):
        content(file, monkeypatch)
    (file.parent / "environment").write_text("# how many\nCOUNT='1'\n")
    content(file, monkeypatch)


@pytest.mark.parametrize("path", ["/opt/a b", "/opt/50%", "/opt/$x", '/opt/"x"'])
def test_a_path_that_units_would_read_otherwise_is_refused(file: pathlib.Path, path: str) -> None:
    file.write_text(CONFIG.replace("  llama: {kind: vllm, model: meta/llama, devices: [2, 3]}\n", ""))
    layout = Layout(pathlib.Path(path), LAYOUT.python, LAYOUT.cache, LAYOUT.config)
    with pytest.raises(Problem, match="units cannot name"):
        install.content(file, None, layout)


def test_what_units_do_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "CLONE", pathlib.Path("/opt/hybrid"))
    monkeypatch.setattr(sys, "executable", "/home/me/.cache/bin/python")
    with pytest.raises(Problem, match="units do not see /home, and the environment is"):
        install.layout(LAYOUT.config)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    with pytest.raises(Problem, match="put it into /etc/hybridinference"):
        install.layout(pathlib.Path("/root/hybrid.yaml"))


def test_without_units_there_is_nothing_to_verify(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "systemd", "verify", "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "`hybrid systemd install` writes them" in done.stderr
