"""Structured logs: one JSON object a line, or a readable line on a terminal. Never a prompt, an answer or a key."""

import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

LOG = structlog.get_logger()

LEVELS = ("debug", "info", "warning", "error")

_NUMBERS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_CAUSE_CHARACTERS = 200
# What has a way to show itself shows itself so, here too: some keep secrets out of it.
_AS_TEXT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# What an exception quotes is what it was given; a name of ours in quotes is short.
_QUOTED = re.compile(r"(?<!\w)(['\"`])(?:.{13,}\1|.{13,}\Z)")


class Level:
    """From which level on lines are written. It may change while the process runs."""

    def __init__(self, level: str) -> None:
        """`level` is one of LEVELS."""
        self._configured = level
        self._closely = False
        self._least = _number(level)

    def reconfigure(self, *, level: str) -> None:
        """The configuration says another one. While somebody looks closely, everything is still written."""
        self._configured = level
        self._apply()

    def follow_signals(self) -> None:
        """From now on SIGUSR1 has everything written, and SIGUSR2 what the configuration says. Needs a running loop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._look, True)
        loop.add_signal_handler(signal.SIGUSR2, self._look, False)

    def _look(self, closely: bool) -> None:
        self._closely = closely
        self._apply()
        LOG.warning("log.level", least="debug" if closely else self._configured)

    def _apply(self) -> None:
        self._least = _number("debug" if self._closely else self._configured)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Structlog's processor that lets pass what is to be written."""
        if _number(method) < self._least:
            raise structlog.DropEvent
        return event


def configure(process: str, *, level: str = "info") -> Level:
    """Set up logging of this process, to standard error. Call once, from `__main__`.

    What libraries say, through the standard library, is written from `warning` on, whatever the level: on finer ones
    some say what they send.

    Args:
        process: this process's name, on every line.
        level: one of LEVELS.

    Returns:
        The level, which may be changed.
    """
    chosen = Level(level)
    written = _Written(sys.stderr)
    if sys.stderr.isatty():
        form: _Json | structlog.dev.ConsoleRenderer = structlog.dev.ConsoleRenderer()
    else:
        form = _Json()
    around = _Around(process)
    crash = structlog.processors.ExceptionRenderer(lambda info: "".join(_crash(info[1])) if info[1] else "")
    structlog.configure(
        processors=[chosen, around, crash, form],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: written,
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library; they get the same form and a higher threshold.
    handler = logging.StreamHandler(written)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[around, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, form],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    return chosen


def _number(level: str) -> int:
    return _NUMBERS.get(level, logging.ERROR)


class _Around:
    """What every line has beside its own fields: the process first, and at the end its level and the time.

    Structlog's own processors for that take more than the line's other work together.
    """

    def __init__(self, process: str) -> None:
        self._process = process
        self._latest = (-1, "")  # a second, in seconds since 1970, and how its times begin

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        second, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
        known, begins = self._latest
        if second != known:
            begins = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._latest = second, begins
        return {"process": self._process, **event, "level": method, "timestamp": f"{begins}.{microsecond:06d}Z"}


class _Json:
    """Writes a line as one JSON object, in ASCII: no reader takes anything in it for the line's end."""

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        try:
            line = orjson.dumps(event, default=str, option=_AS_TEXT)
        except orjson.JSONEncodeError:  # what it does not have: numbers beyond 64 bits, lone surrogates
            return json.dumps(event, default=str)
        return line.decode() if line.isascii() else json.dumps(event, default=str)


class _Written:
    """A file that takes what it can: a disk that is full must not fail the call that a line is about."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def line(self, text: str) -> None:
        """Write a line at once, or do without."""
        with contextlib.suppress(OSError):
            self._file.write(f"{text}\n")
            self._file.flush()

    debug = info = warning = error = critical = line

    def write(self, text: str) -> None:
        """Write, or do without."""
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Flush, or do without."""
        with contextlib.suppress(OSError):
            self._file.flush()


def _crash(error: BaseException) -> Iterator[str]:
    """An exception and its causes: frames, type, and the start of what it says.

    Not all it says: libraries quote their input there (pydantic from the second line on, `int` in its first), and that
    may be a prompt.
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for deeper in (*inner, *([cause] if cause else [])):
        yield from _crash(deeper)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    says = _QUOTED.sub(r"\1…\1", str(error).partition("\n")[0])[:_CAUSE_CHARACTERS]
    yield f"{type(error).__name__}: {says}\n"
