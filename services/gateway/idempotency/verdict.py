"""Whether an answer says that there is none: the OpenAI face tells its failures within answers."""

import contextlib
import contextvars
from collections.abc import Iterator


class Verdict:
    """What became of one run."""

    failed = False


_VERDICT: contextvars.ContextVar[Verdict | None] = contextvars.ContextVar("verdict", default=None)


@contextlib.contextmanager
def awaited() -> Iterator[Verdict]:
    """What `failed` is told of while the context lasts, in this task."""
    verdict = Verdict()
    token = _VERDICT.set(verdict)
    try:
        yield verdict
    finally:
        _VERDICT.reset(token)


def failed() -> None:
    """The answer that this task gives tells a failure."""
    verdict = _VERDICT.get()
    if verdict is not None:
        verdict.failed = True
