"""The watchdog's parts; tests of the supervisor see it at work."""

import pathlib
import signal
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
    for name in ("run/a.sock", "run/envoy/edge.yaml", "logs/a.log", "postgres/data/x", "supervisor.pid"):
        (home.path / name).parent.mkdir(parents=True, exist_ok=True)
        (home.path / name).write_text("")
    outside = tmp_path / "kept"
    outside.mkdir()
    (home.run / "link").symlink_to(outside)
    extra = tmp_path / "extra"
    extra.mkdir()
    clear(home.path, [extra])
    assert sorted(entry.name for entry in home.path.iterdir()) == ["logs", "postgres", "run"]
    assert list(home.run.iterdir()) == []
    assert outside.exists()
    assert not extra.exists()
