"""Asks the database for keys: each once, however many wait for it, and many in one question."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn

from services.gateway.database import DatabaseAway
from services.gateway.identity.stored import StoredKey

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, StoredKey]]]

# One question at a time, however many callers there are: a flood of made-up keys costs the database that and no more.
MOST_AT_ONCE = 500
MOST_WAITING = 5000
_PATIENCE_SECONDS = 3.0


class Lookups:
    """Keys that calls wait for."""

    def __init__(self, read: Read) -> None:
        """`read` returns what there is of the keys of some ids.

        It may raise DatabaseAway.
        """
        self._read = read
        self._waiting: dict[str, asyncio.Future[StoredKey | None]] = {}
        self._some = asyncio.Event()

    async def find(self, key_id: str) -> StoredKey | None:
        """The key of that id; None where there is none.

        Raises:
            DatabaseAway: it could not be asked, or not soon; or too many wait already.
        """
        answer = self._waiting.get(key_id)
        if answer is None:
            if len(self._waiting) >= MOST_WAITING:
                raise DatabaseAway("too many wait")
            answer = self._waiting[key_id] = asyncio.get_running_loop().create_future()
            self._some.set()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.shield(answer)  # others may wait for it, too
        except TimeoutError as error:
            raise DatabaseAway("slow") from error

    async def follow(self) -> NoReturn:
        """Ask, as long as this runs."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                await self._ask(list(itertools.islice(self._waiting, MOST_AT_ONCE)))

    async def _ask(self, key_ids: Sequence[str]) -> None:
        try:
            found = await self._read(key_ids)
        except DatabaseAway as away:
            for key_id in key_ids:
                answer = self._waiting.pop(key_id)
                answer.set_exception(away)
                answer.exception()  # nobody may be left who asks
        else:
            for key_id in key_ids:
                self._waiting.pop(key_id).set_result(found.get(key_id))
