"""The command line, as a shell sees it."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from services.cli.home import Home

CLONE = pathlib.Path(__file__).parents[2]
DEMO = CLONE / "infrastructure" / "config" / "demo.yaml"


def hybrid(*arguments: str, cache: pathlib.Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{CLONE}:{CLONE / 'gen'}", **({"HYBRID_CACHE": str(cache)} if cache else {})},
    )


def test_a_good_configuration_is_summed_up() -> None:
    done = hybrid("check-config", str(DEMO))
    assert done.returncode == 0
    assert "echo: echo, 2 workers, serves echo" in done.stdout
    assert "model      echo: least_loaded over echo/echo" in done.stdout


def test_every_mistake_in_a_configuration_is_told_with_its_line(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("edge: {prt: 1}\nproviders:\n  e: {kind: echo}\nmodels:\n  - routes: [{provider: e}]\n")
    done = hybrid("check-config", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:1: `edge.prt` is not known" in done.stderr
    assert f"{file}:5: `models.0.name` is required" in done.stderr


def test_an_argument_that_makes_no_sense_is_a_mistake_of_usage(home: Home) -> None:
    assert hybrid("up", "--port", "70000", "--home", str(home.path)).returncode == 2


def test_a_mistake_of_usage_names_the_command_as_the_user_typed_it() -> None:
    done = hybrid("up", "--nope")
    assert done.returncode == 2
    assert "Usage: hybrid up " in done.stderr


def test_stopping_what_does_not_run_is_fine(home: Home) -> None:
    done = hybrid("down", "--home", str(home.path))
    assert (done.returncode, done.stdout) == (0, "nothing is running\n")


@pytest.mark.parametrize("command", [["chat", "x"], ["requests"]])
def test_talking_to_a_mesh_that_does_not_run_says_how_to_start_it(home: Home, command: list[str]) -> None:
    done = hybrid(*command, "--home", str(home.path))
    assert done.returncode == 1
    assert f"`hybrid up --home {home.path}` starts one" in done.stderr


def test_a_port_that_is_taken_is_told_before_anything_is_started(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = hybrid("demo", "--home", str(home.path), "--port", str(port))
    assert done.returncode == 1
    assert (
        done.stderr == f"127.0.0.1:{port} cannot be listened on: Address already in use; choose another with --port\n"
    )
    assert list(home.logs.iterdir()) == []
    assert not home.pid.exists()


def test_a_detached_start_tells_what_went_wrong(home: Home) -> None:
    home.config.write_text("providers: {}\nmodels: []\n")
    done = hybrid("up", "--detach", "--home", str(home.path))
    assert done.returncode == 2
    assert "hybrid.yaml:1: `providers`" in done.stderr


def test_a_model_that_was_not_made_is_told_with_what_makes_it(home: Home, tmp_path: pathlib.Path) -> None:
    done = hybrid("up", "--home", str(home.path), cache=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "the model is not there; `make setup` makes it, and `hybrid demo` does without it\n"


def test_a_start_that_is_stopped_says_so(home: Home) -> None:
    home.config.write_text(
        "providers: {e: {kind: echo, loading_ms: 600000}}\nmodels: [{name: e, routes: [{provider: e}]}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", "up", "--detach", "--home", str(home.path), "--port", port],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{CLONE}:{CLONE / 'gen'}"},
    ) as starting:
        assert starting.stdout is not None
        assert "starting" in starting.stdout.readline()
        assert hybrid("down", "--home", str(home.path)).stdout == "stopped\n"
        _, said = starting.communicate(timeout=60)
    assert (starting.returncode, said) == (1, "the mesh was stopped before it was ready\n")


@pytest.mark.edge
def test_what_envoy_would_refuse_is_a_mistake_in_the_configuration(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "bad.yaml"
    for name in ("edge.crt", "edge.key"):
        (tmp_path / name).write_text("no certificate")
    tls = f"{{certificate: {tmp_path}/edge.crt, key: {tmp_path}/edge.key}}"
    file.write_text(f"{DEMO.read_text()}edge: {{tls: {tls}}}\n")
    done = hybrid("check-config", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Envoy refuses it" in done.stderr
    assert "no certificate" not in done.stderr
    file.write_text(f"{DEMO.read_text()}edge: {{tls: {{certificate: missing.crt, key: missing.key}}}}\n")
    done = hybrid("check-config", str(file), "--home", str(tmp_path))
    assert done.stderr == f"`edge.tls.certificate`: {tmp_path}/missing.crt cannot be read: No such file or directory\n"


@pytest.mark.parametrize("command", [["restart", "gateway"], ["reload"]])
def test_what_does_not_run_can_be_neither_restarted_nor_reloaded(home: Home, command: list[str]) -> None:
    done = hybrid(*command, "--home", str(home.path))
    assert done.returncode == 1
    assert "no mesh is running" in done.stderr
