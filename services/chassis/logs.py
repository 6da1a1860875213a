"""Structured logs: one JSON object a line, or a readable line on a terminal. Never a prompt, an answer or a key."""

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

import structlog

LEVELS = ("debug", "info", "warning", "error")

_CAUSE_CHARACTERS = 200
# What an exception quotes is what it was given; a name of ours in quotes is short.
_QUOTED = re.compile(r"(?<!\w)(['\"`])(?:.{13,}\1|.{13,}\Z)")


def configure(process: str, *, level: str = "info") -> None:
    """Set up logging of this process, to standard error. Call once, from `__main__`.

    Args:
        process: this process's name, on every line.
        level: one of LEVELS.
    """
    crash = structlog.processors.ExceptionRenderer(lambda info: "".join(_crash(info[1])) if info[1] else "")
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[*shared, crash, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(_Lenient(sys.stderr)),  # type: ignore[arg-type]  # all it needs
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    # Libraries speak through the standard library; they get the same form and a higher threshold.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _Lenient:
    """A file that takes what it can: a disk that is full must not fail the call that a line is about."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

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
