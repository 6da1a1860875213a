"""The gateway's connections to PostgreSQL. Never in the way of a request that does not need them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import structlog

from services.chassis import declared
from services.gateway.schema import Known, SchemaUnknown

LOG = structlog.get_logger()

# What the database, not a question or a row, is the cause of: the same may be tried again. TimeoutError is an OSError.
UNAVAILABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_CONNECT_SECONDS = 2.0
_COMMAND_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
# After a connection that failed nobody tries another one for so long: callers are told at once.
_PAUSE_SECONDS = 0.5

DATABASE_UP = declared.Gauge(
    "hybrid_database_up",
    "Whether PostgreSQL answered when it was last asked, by what for.",
    [declared.one_of("use", ("admin", "keys", "ledger", "limits"))],
)


class DatabaseAway(Exception):
    """PostgreSQL does not answer now, or has not the tables that this release knows."""


class Database:
    """A few connections, made when they are needed.

    Attributes:
        away: whether it did not answer when it was last asked.
    """

    def __init__(self, dsn: str, *, name: str, most: int) -> None:
        self._dsn = dsn
        self._name = name
        self._room = asyncio.Semaphore(most)
        self._idle: list[asyncpg.Connection] = []
        self._away_until = 0.0
        self._closed = False
        self.away = False
        self._known = Known()

    async def require_schema(self) -> None:
        """See to it, once, that the database has the tables that this release knows; later, where it is away.

        Raises:
            SchemaUnknown: it has others.
        """
        try:
            async with self.connection():
                pass
        except DatabaseAway as away:
            LOG.warning("database.away", reason=str(away))
            if isinstance(away.__cause__, SchemaUnknown):
                raise away.__cause__ from None

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for a moment; what fails on it closes it.

        Raises:
            DatabaseAway: there is none now, or it was lost while it was used. What was under way may have been done.
        """
        async with self._room:
            connection = await self._taken()
            try:
                yield connection
            except UNAVAILABLE as error:
                if not isinstance(error, asyncpg.PostgresError) or connection.is_closed():
                    self.away = True
                    connection.terminate()
                    raise DatabaseAway(type(error).__name__) from error
                raise
            except BaseException:
                connection.terminate()  # in the middle of a question, perhaps
                raise
            finally:
                if not connection.is_closed() and not self._closed:
                    self._idle.append(connection)

    async def _taken(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        now = asyncio.get_running_loop().time()
        if now < self._away_until:
            raise DatabaseAway("not tried again yet")
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_SECONDS,
                command_timeout=_COMMAND_SECONDS,
                server_settings={"application_name": self._name, "lock_timeout": "3s", "statement_timeout": "5s"},
            )
            try:
                await self._known.require(connection)
            except BaseException:
                connection.terminate()
                raise
        except (*UNAVAILABLE, SchemaUnknown) as error:
            self._away_until = now + _PAUSE_SECONDS
            self.away = True
            # The type alone: a message may quote the DSN.
            raise DatabaseAway(type(error).__name__) from error
        self.away = False
        return connection

    async def close(self) -> None:
        """Close what is idle; what is in use is closed when it is done."""
        self._closed = True
        for connection in self._idle:
            try:
                await connection.close(timeout=_CLOSE_SECONDS)
            except UNAVAILABLE:
                connection.terminate()
        self._idle.clear()


@contextlib.asynccontextmanager
async def open_database(dsn: str, *, name: str, most: int = 4) -> AsyncIterator[Database]:
    """Connections to the database with that DSN, `most` at once. Whether it answers is not asked here.

    Args:
        dsn: where it is.
        name: what PostgreSQL shows for us.
        most: connections at once.
    """
    database = Database(dsn, name=name, most=most)
    try:
        yield database
    finally:
        await database.close()
