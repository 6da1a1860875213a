"""A database whose connections are lost at every step of a question."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

from services.gateway.database import Database, DatabaseAway


class Cut:
    """Stands for a Database. `healed`: nothing is lost any more."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self._database = database
        self._chance = chance
        self.healed = False

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection that is lost before, while or after it is used, or not at all."""
        step = "" if self.healed else self._chance.choice(("", "", "", "", "before", "sent", "after"))
        if step == "before":
            raise DatabaseAway("before")
        async with self._database.connection() as connection:
            yield _Connection(connection, step, self._chance)
        if step == "after":
            raise DatabaseAway("after the commit")


class _Connection:
    def __init__(self, connection: Any, step: str, chance: random.Random) -> None:
        self._connection = connection
        self._step = step
        self._chance = chance

    async def fetch(self, *question: Any) -> Any:
        """Ask, and where the connection is to be lost do not wait for the answer."""
        if self._step != "sent":
            return await self._connection.fetch(*question)
        asking = asyncio.ensure_future(self._connection.fetch(*question))
        await asyncio.sleep(self._chance.random() * 0.002)
        self._connection.terminate()
        return await asking
