"""The watchdog's parts; tests of the supervisor see it at work."""

import pathlib
import signal
import socket
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from services.cli.home import Home
from services.cli.watchdog import Register, clear, end


def test_what_was_removed_is_not_ended() -> None:
    register = Register()
    for line in ("add 10 15\n", "add 11 2\n", "remove 10\n", "path /tmp/some where\n"):
        register.read(line)
    assert register.groups == {11: 2}
    assert register.paths == [pathlib.Path("/tmp/some where")]


@given(st.text())
def test_no_line_stops_it(line: str) -> None:
    Register().read(line)


def test_a_group_that_ignores_its_signal_is_killed() -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        end({process.pid: signal.SIGTERM}, grace=0.1)
        assert process.wait() == -signal.SIGKILL


def test_a_group_that_is_gone_is_no_mistake() -> None:
    with subprocess.Popen(["true"], start_new_session=True) as process:
        process.wait()
    end({process.pid: signal.SIGTERM})


def test_clearing_leaves_logs_and_data_alone(home: Home, tmp_path: pathlib.Path) -> None:
    for name in (
        "run/supervisor.json",
        "run/envoy/edge.yaml",
        "run/last-good/x.router.router",
        "run/tmp/x",
        "logs/a.log",
        "postgres/x",
        "supervisor.pid",
    ):
        (home.path / name).parent.mkdir(parents=True, exist_ok=True)
        (home.path / name).write_text("")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(home.run / "a.sock"))
    extra = tmp_path / "extra"
    extra.mkdir()
    clear(home.path, [extra])
    assert sorted(entry.name for entry in home.path.iterdir()) == ["logs", "postgres", "run"]
    assert list(home.run.iterdir()) == []
    assert not extra.exists()


def test_clearing_removes_nothing_that_no_mesh_has_made(home: Home, tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "kept"
    outside.mkdir()
    (outside / "file").write_text("")
    for name in ("envoy", "supervisor.json"):
        (home.run / name).symlink_to(outside)
    (home.run / "experiments").mkdir()
    (home.run / "experiments" / "1.csv").write_text("")
    (home.run / "train.py").write_text("")
    before = sorted(home.run.rglob("*"))
    clear(home.path, [])
    assert sorted(home.run.rglob("*")) == before
    assert (outside / "file").exists()
