"""A loader that is killed at a chosen step, in this process: its connection breaks, and nothing of it goes on."""

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import Awaitable
from typing import Any, ClassVar

import asyncpg

PHASES = ("before", "during", "after")


class Killed(BaseException):
    """What `kill -9` is to a coroutine: nothing catches it."""


@dataclasses.dataclass(slots=True)
class Fate:
    """When it ends.

    Attributes:
        steps: how many steps it has, of those that count; each question to the database is three, each of PHASES.
        counts: which step counts; None is each.
        pause: how long a question is under way when it ends in its midst, in seconds.
        at: what it was about when it ended; None while it lives.
    """

    steps: int
    counts: str | None = None
    pause: float = 0.0
    at: str | None = None

    def step(self, what: str) -> None:
        """One step further.

        Raises:
            Killed: it was the last one.
        """
        self.steps -= self.counts in (None, what)
        if self.at is None and self.steps < 0:
            self.at = what
        if self.at is not None:
            raise Killed(self.at)


class Mortal(asyncpg.Connection):
    """A connection of whoever has that fate."""

    fate: ClassVar[Fate]

    async def execute(self, query: str, *arguments: Any, **options: Any) -> str:
        """As the connection's own."""
        return await self._lived(_about(query), super().execute(query, *arguments, **options))

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
        """As the connection's own."""
        return await self._lived(_about(query), super().fetch(query, *arguments, **options))

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        """As the connection's own."""
        return await self._lived(_about(query), super().fetchval(query, *arguments, **options))

    async def copy_records_to_table(self, table_name: str, **options: Any) -> str:
        """As the connection's own."""
        return await self._lived(f"COPY {table_name}", super().copy_records_to_table(table_name, **options))

    async def _lived(self, what: str, question: Awaitable[Any]) -> Any:
        asking = asyncio.ensure_future(question)
        try:
            self.fate.step(f"before {what}")
            await asyncio.sleep(0)  # it is on its way
            try:
                self.fate.step(f"during {what}")
            except Killed:
                await asyncio.sleep(self.fate.pause)
                raise
            result = await asking
            self.fate.step(f"after {what}")
            return result
        except Killed:
            self.terminate()
            asking.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await asking
            raise


def _about(query: str) -> str:
    found = re.search(r"(INSERT INTO|DELETE FROM) \w+", query) or re.search(r"\w+", query)
    return found.group() if found else query
