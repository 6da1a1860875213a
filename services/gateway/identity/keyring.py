"""The keys that a gateway knows: a bounded memory of the database's, which follows what changes there."""

import asyncio
import collections
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NoReturn

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.beat import beat
from services.config.access import Ceiling
from services.gateway.database import Database, DatabaseAway, open_database
from services.gateway.identity.ceiling import within
from services.gateway.identity.credential import Credential
from services.gateway.identity.grant import Grant
from services.gateway.identity.lookups import Lookups
from services.gateway.identity.peppers import Peppers
from services.gateway.identity.stored import COLUMNS, StoredKey, Verdict, judged, of_row

LOG = structlog.get_logger()

POLL_SECONDS = 1.0
_POLL_PATIENCE_SECONDS = 2.0
# A change has the time at which its transaction began, and is seen when that has ended.
_OVERLAP = datetime.timedelta(seconds=30)
# Within so many polls all that is remembered is read again: what was changed by hand, or removed, has no new time.
ROUND = 60
_READ_AT_ONCE = 1000

# For so long nobody asks again for what there was not. A key that is made meanwhile is heard of before.
ABSENT_SECONDS = 5.0
_MOST_ABSENT = 20_000

CACHED = declared.Gauge("hybrid_gateway_keys_cached", "Keys that are remembered.")
AGE = declared.Gauge("hybrid_gateway_keys_age_seconds", "Since the database last said which keys have changed.")

_SOME = f"SELECT {COLUMNS} FROM keys WHERE key_id = ANY($1::text[])"  # noqa: S608 (a constant)
_CHANGED = "SELECT key_id, changed_at FROM keys WHERE changed_at > $1"


class Keyring:
    """Says what a credential is worth."""

    def __init__(
        self,
        database: Database,
        peppers: Peppers,
        registry: CollectorRegistry,
        *,
        most: int,
        ceilings: Mapping[str, Ceiling],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked yet: `follow` does that.

        Args:
            database: where the keys are.
            peppers: what they are stored under.
            registry: where the metrics go.
            most: keys to remember; of more, those are forgotten that were not used for longest.
            ceilings: the most that keys may do, by the operator who made them. Whose name is not there has none.
            clock: seconds since 1970.
            monotonic: seconds since whenever.
        """
        self._database = database
        self._peppers = peppers
        self._most = most
        self._ceilings = ceilings
        self._clock = clock
        self._monotonic = monotonic
        self._keys: collections.OrderedDict[str, StoredKey] = collections.OrderedDict()
        self._absent: collections.OrderedDict[str, float] = collections.OrderedDict()  # ids, and until when
        self._lookups = Lookups(self._read)
        self._seen: datetime.datetime | None = None
        self._again: list[str] = []  # ids that are still to be read again in this round
        self._part = 0
        self._known_at = monotonic()
        self._away = False
        self._missing: set[str] = set()
        CACHED.on(registry).set_function(lambda: len(self._keys))
        AGE.on(registry).set_function(lambda: monotonic() - self._known_at)

    @property
    def away(self) -> bool:
        """Whether the database did not answer when it was last asked what has changed."""
        return self._away

    def reconfigure(self, *, most: int, ceilings: Mapping[str, Ceiling]) -> None:
        """Remember so many, and bound keys so, from now on."""
        self._most = most
        self._ceilings = ceilings
        self._shrink()

    async def judge(self, credential: Credential) -> tuple[Verdict, Grant | None]:
        """What a credential is worth, and what its key may do where it is `accepted`.

        Raises:
            DatabaseAway: the key is not remembered, and the database cannot be asked now.
        """
        stored = self._keys.get(credential.key_id)
        if stored is not None:
            self._keys.move_to_end(credential.key_id)
        elif not self._is_absent(credential.key_id):
            stored = await self._lookups.find(credential.key_id)
        verdict = judged(stored, self._peppers.macs(credential), self._clock())
        if stored is None or verdict != "accepted":
            if stored is not None and verdict == "unverifiable":
                self._say_missing(stored.current.pepper_id)
            return verdict, None
        ceiling = self._ceilings.get(stored.created_by)
        grant = stored.grant if ceiling is None else within(stored.grant, ceiling)
        return ("bounded" if grant is None else verdict), grant

    async def follow(self) -> NoReturn:
        """Answer look-ups, and follow what changes, as long as this runs."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lookups.follow())
            while True:
                await self._poll_or_say()
                await beat(POLL_SECONDS)

    async def _poll_or_say(self) -> None:
        try:
            async with asyncio.timeout(_POLL_PATIENCE_SECONDS):
                await self.poll()
        except (DatabaseAway, TimeoutError) as error:
            if not self._away:
                self._away = True
                LOG.warning("keyring.away", error=str(error) or type(error).__name__, cached=len(self._keys))
        else:
            if self._away:
                self._away = False
                LOG.info("keyring.back", cached=len(self._keys))

    async def poll(self) -> None:
        """Take up what has changed since the last time.

        Raises:
            DatabaseAway: it cannot be asked now. What was remembered still is.
        """
        begun = self._monotonic()
        async with self._asking() as connection:
            now: datetime.datetime = await connection.fetchval("SELECT now()")
            rows = await connection.fetch(_CHANGED, (self._seen or now) - _OVERLAP)
        changed = {row["key_id"]: row["changed_at"] for row in rows}
        for key_id in changed:
            self._absent.pop(key_id, None)
        known = [key_id for key_id in changed if key_id in self._keys]
        await self._refresh([each for each in known if self._keys[each].changed_at != changed[each]])
        self._seen = now
        self._known_at = begun
        if not self._again:
            self._again = list(self._keys)
            self._part = -(-len(self._again) // ROUND)
        part = [self._again.pop() for _ in range(min(self._part, len(self._again)))]
        await self._refresh(part)

    async def _refresh(self, key_ids: Sequence[str]) -> None:
        """Read what is remembered of some keys again."""
        for start in range(0, len(key_ids), _READ_AT_ONCE):
            some = key_ids[start : start + _READ_AT_ONCE]
            found = await self._fetch(some)
            for key_id in some:
                if key_id in found and key_id in self._keys:
                    self._keys[key_id] = found[key_id]
                elif key_id not in found:
                    self._keys.pop(key_id, None)

    async def _read(self, key_ids: Sequence[str]) -> Mapping[str, StoredKey]:
        """Read keys for calls that wait for them, and remember them, and which there are not."""
        found = await self._fetch(key_ids)
        until = self._monotonic() + ABSENT_SECONDS
        for key_id in key_ids:
            if key_id in found:
                self._keys[key_id] = found[key_id]
            else:
                self._absent[key_id] = until
        self._shrink()
        return found

    async def _fetch(self, key_ids: Sequence[str]) -> dict[str, StoredKey]:
        if not key_ids:
            return {}
        async with self._asking() as connection:
            rows = await connection.fetch(_SOME, list(key_ids))
        return {row["key_id"]: of_row(dict(row)) for row in rows}

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._database.connection() as connection:
                yield connection
        except asyncpg.PostgresError as error:  # it answers, but not this: no tables yet, or a question that took long
            raise DatabaseAway(type(error).__name__) from error

    def _say_missing(self, pepper_id: str) -> None:
        if pepper_id not in self._missing:
            self._missing.add(pepper_id)
            LOG.error("keyring.pepper_missing", pepper_id=pepper_id)  # once: callers decide how often they come

    def _is_absent(self, key_id: str) -> bool:
        return self._monotonic() < self._absent.get(key_id, 0.0)

    def _shrink(self) -> None:
        while len(self._keys) > self._most:
            self._keys.popitem(last=False)
        while len(self._absent) > _MOST_ABSENT:
            self._absent.popitem(last=False)


@contextlib.asynccontextmanager
async def open_keyring(
    dsn: str,
    peppers: Peppers | None,
    registry: CollectorRegistry,
    *,
    name: str,
    most: int,
    ceilings: Mapping[str, Ceiling],
) -> AsyncIterator[Keyring | None]:
    """A keyring that follows the database with that DSN, whether it answers or not; without peppers there is none.

    It has connections of its own: that a key is revoked must not wait behind what others ask.

    Args:
        dsn: where the keys are.
        peppers: what they are stored under.
        registry: where the metrics go.
        name: what PostgreSQL shows for us.
        most: keys to remember.
        ceilings: the most that keys may do, by the operator who made them.
    """
    if peppers is None:
        yield None
        return
    async with open_database(dsn, name=name, most=2) as database, asyncio.TaskGroup() as tasks:
        keyring = Keyring(database, peppers, registry, most=most, ceilings=ceilings)
        following = tasks.create_task(keyring.follow())
        try:
            yield keyring
        finally:
            following.cancel()
