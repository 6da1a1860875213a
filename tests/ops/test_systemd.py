"""The units before systemd's own tools, and the processes under what the units take away from them.

systemd is not the first process here: that it starts the units is not shown.
"""

import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator

import pytest

from services.cli.systemd import install, verify
from services.cli.systemd.files import Layout
from services.cli.systemd.instances import Engine
from tests.cli.systemd.unit import CONFIG, PROCESSES, ROOT, SECONDS, Unit, answering

pytestmark = pytest.mark.ops

COMMON = ROOT / "infrastructure/systemd/hybridinference-.service.d/10-common.conf"
CONFINED = (sys.executable, str(ROOT / "tests/ops/confined.py"), str(COMMON))
UNITS = """\
ledger: {dsn: "${file:ledger.dsn}"}
edge: {port: 443, host: 0.0.0.0}
gateway: {instances: 2}
router: {instances: 2}
providers:
  echo: {kind: echo}
  openai: {kind: openai, api_keys: ["${file:openai.key}"], models: [{name: gpt-4o}]}
  llama: {kind: vllm, model: meta/llama, devices: [0, 1]}
models:
  - {name: m, routes: [{provider: echo}]}
"""


@pytest.fixture(params=["gpu", "cpu"])
def directory(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Units as they are written, but for where this clone and its interpreter are."""
    config = tmp_path / "hybrid.yaml"
    config.write_text(UNITS)
    for name in ("ledger.dsn", "openai.key"):
        (tmp_path / name).write_text("secret\n")
    monkeypatch.setattr(install, "_engine", lambda *_: Engine(request.param, sys.executable))
    units = tmp_path / "units"
    units.mkdir()
    layout = Layout(ROOT, pathlib.Path(sys.executable), pathlib.Path("/opt/cache"), config)
    install.install(install.content(config, None, layout), units)
    return units


def test_systemd_finds_no_fault_and_no_unit_is_exposed_above_2(directory: pathlib.Path) -> None:
    found = verify.verify(directory)
    print("\n".join(f"{each.score:.1f} {each.unit}" for each in found))
    assert len(found) == 12
    assert [each.said for each in found] == [""] * len(found)
    assert {each.unit: each.score for each in found if each.score > verify.MOST} == {}


@pytest.mark.parametrize("directory", ["gpu"], indirect=True)
def test_a_line_that_systemd_would_ignore_is_a_fault(directory: pathlib.Path) -> None:
    with (directory / "hybridinference-router@.service").open("a") as file:
        file.write("PrivateTpm=yes\n")
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "systemd", "verify", "--directory", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "Unknown key name 'PrivateTpm'" in done.stderr or "Unknown key 'PrivateTpm'" in done.stderr


def test_the_confinement_refuses_what_the_units_refuse() -> None:
    code = (
        "import ctypes, mmap, os\n"
        "for bad in (lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC), lambda: os.nice(-1),\n"
        "            lambda: os.chroot('/')):\n"
        "    try:\n"
        "        bad()\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )
    done = subprocess.run([*CONFINED, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 3


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hy") as path:
        (pathlib.Path(path) / "hybrid.yaml").write_text(f"edge: {{port: {port}}}\n{CONFIG}")
        yield pathlib.Path(path)


def hybrid_edge(verb: str, *, with_config: bool = True) -> list[str]:
    config = ["--config", "hybrid.yaml"] if with_config else []
    return [*CONFINED, sys.executable, "-m", "services.cli", "edge", verb, "--home", ".", *config]


@pytest.mark.timeout(400)
async def test_everything_works_under_what_the_units_take_away(home: pathlib.Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
    units = {name: Unit(home, name, *command, launcher=CONFINED) for name, command in PROCESSES.items()}
    log = (home / "envoy.log").open("wb")
    envoy = subprocess.Popen(  # noqa: ASYNC220  # started at once, and waited for in threads
        hybrid_edge("run"), cwd=home, env=environment, stdout=log, stderr=log
    )
    log.close()

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr + (home / "envoy.log").read_text()
        return done.stdout

    try:
        for unit in units.values():
            await unit.until("READY=1")
            status = pathlib.Path(f"/proc/{unit.process.pid}/status").read_text()
            assert "Seccomp:\t2\n" in status
        await asyncio.to_thread(run, *hybrid_edge("ready", with_config=False))
        port = int((home / "hybrid.yaml").read_text().partition("port: ")[2].partition("}")[0])
        body = {"model": "m", "messages": [{"role": "user", "content": "still here"}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )

        def ask() -> str:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return str(json.load(answer)["choices"][0]["message"]["content"])

        assert await asyncio.to_thread(ask) == "still here"
        file = home / "hybrid.yaml"
        file.write_text(file.read_text().replace("port: ", "limits: {requests_per_second: 77}, port: "))
        assert "the edge has taken it" in await asyncio.to_thread(run, *hybrid_edge("reload"))
        async with answering(home) as stream:
            await asyncio.to_thread(run, *hybrid_edge("drain"))
            for unit in units.values():
                unit.process.send_signal(signal.SIGTERM)
            assert [response async for response in stream][-1].event.WhichOneof("event") == "finished"
        envoy.terminate()
        assert await asyncio.to_thread(envoy.wait, SECONDS) == 0
        for unit in units.values():
            assert await unit.ended() == 0
    finally:
        envoy.kill()
        envoy.wait()
        for unit in units.values():
            unit.close()
