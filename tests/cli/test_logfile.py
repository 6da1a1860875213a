"""Logs of processes."""

import os
import pathlib
import resource
import stat

from services.cli import logfile


def test_a_log_is_appended_to(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "logs" / "a.log"
    for text in (b"one\n", b"two\n"):
        descriptor = logfile.open_log(log)
        os.write(descriptor, text)
        os.close(descriptor)
    assert log.read_text() == "one\ntwo\n"


def test_a_log_that_has_grown_is_put_aside(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "a.log"
    with log.open("wb") as file:
        file.truncate((16 << 20) + 1)
    os.close(logfile.open_log(log))
    assert (log.stat().st_size, (tmp_path / "a.log.1").stat().st_size) == (0, (16 << 20) + 1)


def test_a_log_that_grows_while_it_is_written_is_put_aside(tmp_path: pathlib.Path) -> None:
    log, aside = tmp_path / "a.log", tmp_path / "a.log.1"
    aside.write_text("older")
    descriptor = logfile.open_log(log)
    try:
        os.write(descriptor, b"x" * (16 << 20))
        logfile.cut(log)
        assert (log.stat().st_size, aside.read_text()) == (16 << 20, "older")
        os.write(descriptor, b"last\n")
        logfile.cut(log)
        os.write(descriptor, b"first\n")
    finally:
        os.close(descriptor)
    assert log.read_text() == "first\n"
    assert aside.read_bytes().endswith(b"xlast\n")
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600


def test_a_log_without_room_for_a_copy_stays_whole(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * ((16 << 20) + 1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        logfile.cut(log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.stat().st_size == (16 << 20) + 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]


def test_the_tail_is_of_this_life_only(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    since = logfile.size(log)
    log.write_text("old\n1\n2\n3\n")
    assert logfile.tail(log, since=since, lines=2) == ["2", "3"]
    assert logfile.tail(log, since=since) == ["1", "2", "3"]
    assert logfile.tail(tmp_path / "none.log") == []


def test_logs_that_have_grown_are_put_aside_whatever_becomes_of_the_others(
    tmp_path: pathlib.Path,
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.log").write_bytes(b"x" * ((16 << 20) + (name != "b")))
    (tmp_path / "a.log.1").mkdir()  # nothing can be put there
    logfile.cut_all(tmp_path)
    assert {log.name: log.stat().st_size for log in tmp_path.glob("*.log")} == {
        "a.log": (16 << 20) + 1,
        "b.log": 16 << 20,
        "c.log": 0,
    }
