"""Logs of a process, as it really writes them."""

import datetime
import json
import subprocess
import sys

_PROGRAM = """
import json, logging, pydantic, structlog
from services.chassis import logs

class Model(pydantic.BaseModel):
    count: int

logs.configure("tester", level="info")
log = structlog.get_logger()
log.debug("too.fine")
log.info("thing.happened", count=3)
try:
    try:
        Model.model_validate({"count": "what is my diagnosis"})
    except pydantic.ValidationError as error:
        said = [KeyError("k")]
        for read in (int, json.loads, {}.__getitem__, lambda text: text.encode("ascii")):
            try:
                read("what is my diagn\\xf6sis, 'doctor'?\\nsay")
            except Exception as failed:
                said.append(failed)
        raise ExceptionGroup("several", said) from error
except ExceptionGroup as error:
    log.error("thing.crashed", exc_info=error)
logging.getLogger("library").info("too fine")
logging.getLogger("library").warning("mind %s", "this")
"""


def test_a_line_is_a_json_object_and_a_crash_shows_frames_but_not_what_was_asked() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=20)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["thing.happened", "thing.crashed", "mind this"]
    assert {line["process"] for line in lines} == {"tester"}
    assert lines[0]["count"] == 3
    assert lines[0]["timestamp"].endswith("Z")
    crash = lines[1]["exception"]
    for part in (
        "ValidationError: 1 validation error for Model",
        "ExceptionGroup: several",
        "KeyError: 'k'",
        "ValueError: invalid literal for int() with base 10",
        "line 14",
    ):
        assert part in crash
    assert "diagn" not in ran.stderr
    assert "doctor" not in ran.stderr


def test_a_disk_that_is_full_fails_nobody() -> None:
    program = """
import logging, structlog, sys
from services.chassis import logs
logs.configure("tester")
for _ in range(1000):
    structlog.get_logger().info("thing.happened", text="x" * 100)
    logging.getLogger("library").warning("mind this")
print("still here")
"""
    with open("/dev/full", "wb") as full:
        said = subprocess.check_output([sys.executable, "-c", program], stderr=full, text=True, timeout=20)
    assert said == "still here\n"


def test_the_level_changes_while_a_process_runs_by_configuration_and_by_signal() -> None:
    program = """
import asyncio, logging, os, signal, structlog
from services.chassis import logs
level = logs.configure("tester", level="warning")
log = structlog.get_logger()

async def main():
    level.follow_signals()
    log.info("one")
    level.reconfigure(level="info")
    log.info("two")
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0.1)
    log.debug("three")
    level.reconfigure(level="error")
    log.debug("four")
    logging.getLogger("library").info("what it sends")
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.sleep(0.1)
    log.warning("five")
    log.error("six")

asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    events = [json.loads(line)["event"] for line in ran.stderr.splitlines()]
    assert events == ["two", "log.level", "three", "four", "six"]


def test_a_line_is_ascii_and_says_what_json_has_no_words_for_as_text() -> None:
    program = """
import dataclasses, datetime, structlog
from services.chassis import logs

@dataclasses.dataclass
class Key:
    name: str
    secret: str = dataclasses.field(repr=False)

logs.configure("tester")
log = structlog.get_logger()
log.info("one", text="b\\u0085\\u2028\\u00f6\\n", half="\\ud800", large=1 << 70, ms=1.5, none=None, several=(1, "a"))
log.info("two", key=Key("k", "s3cret"), day=datetime.date(2026, 1, 2), words={"w"}, process="other")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr.isascii()
    assert "s3cret" not in ran.stderr
    one, two = (json.loads(line) for line in ran.stderr.splitlines())
    for line in (one, two):
        assert datetime.datetime.fromisoformat(line.pop("timestamp")).tzinfo == datetime.UTC
        assert line.pop("level") == "info"
    assert one == {
        "process": "tester",
        "event": "one",
        "text": "b\u0085\u2028\u00f6\n",
        "half": "\ud800",
        "large": 1 << 70,
        "ms": 1.5,
        "none": None,
        "several": [1, "a"],
    }
    assert two == {
        "process": "other",
        "event": "two",
        "key": "Key(name='k')",
        "day": "2026-01-02",
        "words": "{'w'}",
    }
