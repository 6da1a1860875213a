"""One line that moves on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

BAR_WIDTH = 16
LIVE_SECONDS = 0.1
PLAIN_SECONDS = 10.0
PLAIN_LINES = 10


class Step:
    """One long step: how much of it is done, and for how long it has run."""

    def __init__(self, title: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._began = clock()
        self._shown_at = self._began
        self._shown_share = 0.0
        self._width = 0
        if not self._live:
            self._write(f"{title} ...")

    def update(self, share: float, note: str = "") -> None:
        """Show that `share` of the step is done; call it as often as you like."""
        share = min(max(share, 0.0), 1.0)
        now = self._clock()
        quiet = now - self._shown_at
        if self._live:
            if quiet >= LIVE_SECONDS:
                self._shown_at = now
                filled = round(share * BAR_WIDTH)
                bar = "█" * filled + "░" * (BAR_WIDTH - filled)
                self._redraw(f"{self._title:<22} {bar} {share:4.0%}  {self._elapsed()}  {note}")
        elif int(share * PLAIN_LINES) > int(self._shown_share * PLAIN_LINES) or quiet >= PLAIN_SECONDS:
            self._shown_at, self._shown_share = now, share
            self._write(f"{self._title}: {share:.0%}, {self._elapsed()}{', ' + note if note else ''}")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._live:
            self._redraw("")
            self._stream.write("\r")
        self._write(text)

    def end(self, outcome: str) -> None:
        if self._live:
            self._redraw(f"{self._title:<22} {outcome}  {self._elapsed()}")
            self._write("")
        else:
            self._write(f"{self._title}: {outcome}, {self._elapsed()}")

    def _elapsed(self) -> str:
        seconds = int(self._clock() - self._began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _redraw(self, text: str) -> None:
        # A line that wraps cannot be drawn over.
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Progress:
    """Opens the steps of one run, one after the other."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        step = Step(title, self._stream, self._clock)
        try:
            yield step
        except BaseException:
            step.end("failed")
            raise
        step.end("done")
