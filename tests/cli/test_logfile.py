"""Logs of processes."""

import os
import pathlib

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


def test_the_tail_is_of_this_life_only(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    since = logfile.size(log)
    log.write_text("old\n1\n2\n3\n")
    assert logfile.tail(log, since=since, lines=2) == ["2", "3"]
    assert logfile.tail(log, since=since) == ["1", "2", "3"]
    assert logfile.tail(tmp_path / "none.log") == []
