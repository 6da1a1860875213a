"""The configuration that a process took last, on disk, for when it starts again and its file cannot be used.

Kept is the text of the file, with variables as they are written: no secret that the file itself does not have. Whoever
reads it puts in what the variables are by then.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping

import structlog

from services.chassis import config
from services.chassis.config import ConfigError
from services.config.mesh import MeshConfig

LOG = structlog.get_logger()

# From the home, which is the working directory of every process. It is gone when `hybrid up` ends.
DIRECTORY = pathlib.Path("run/last-good")
# Those that take up changes while they run: theirs is what the mesh uses now.
_FOLLOWING = ("gateway", "router", "admin")


class LastGood:
    """What one process keeps. `begin` once, then `keep` each time that what was read last is in use.

    Attributes:
        refused: what is wrong with the file, where `begin` had to do with the copy; else empty.

    Args:
        file: the configuration.
        role: of the process: `gateway`, `router`, `admin`, `loader` or `worker`.
        name: of the process, as it was told.
        environment: has the variables. None: this process's own.
    """

    def __init__(self, file: pathlib.Path, role: str, name: str, environment: Mapping[str, str] | None = None) -> None:
        self.refused: tuple[str, ...] = ()
        self._file = file
        self._copy = DIRECTORY / f"{_digest(file)}.{role}.{name}"
        self._environment = environment
        self._read = ""
        self._kept = ""

    def begin(self) -> MeshConfig:
        """What the file says; where it cannot be used, what this process took last.

        Raises:
            ConfigError: naming each mistake of the file, where there is no copy or it cannot be used either.
        """
        try:
            return self.read(self._file)
        except ConfigError as error:
            if not self._copy.exists():
                raise
            problems = error.problems
        try:
            text = config.text_of(self._copy)
            found = _parsed(text, self._file, self._environment)
        except ConfigError as error:
            told = [f"the last good configuration cannot be used either: {each}" for each in error.problems]
            raise ConfigError([*problems, *told]) from None
        self.refused = tuple(problems)
        self._read = self._kept = text
        return found

    def read(self, file: pathlib.Path) -> MeshConfig:
        """What the file says.

        Raises:
            ConfigError: naming each mistake.
        """
        text = config.text_of(file)
        found = _parsed(text, file, self._environment)
        self._read = text
        return found

    def keep(self) -> None:
        """Write down what was read last, for nobody else to read. Where that cannot be, the process goes on without."""
        if self._read == self._kept:
            return
        draft = self._copy.with_name(f".{self._copy.name}.{os.getpid()}")
        try:
            DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not opened before it is known to be new: one that was there might be somebody else's.
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._read)
            draft.replace(self._copy)
        except OSError as error:
            LOG.warning("config.not_kept", reason=error.strerror)
            return
        self._kept = self._read


def in_use(home: pathlib.Path, file: pathlib.Path, environment: Mapping[str, str]) -> MeshConfig | None:
    """What the processes of a home that run by that file took last; None where none of them has kept anything.

    Raises:
        ConfigError: it cannot be used any more, such as for want of a variable.
    """
    copies = list((home / DIRECTORY).glob(f"{_digest(file)}.*"))
    following = [copy for copy in copies if copy.name.split(".")[1] in _FOLLOWING]
    latest = max(following or copies, key=lambda copy: copy.stat().st_mtime_ns, default=None)
    return None if latest is None else _parsed(config.text_of(latest), file, environment)


def _parsed(text: str, file: pathlib.Path, environment: Mapping[str, str] | None) -> MeshConfig:
    # Secrets in files of their own are meant from beside the configuration, wherever the text is from.
    return config.parse(text, MeshConfig, source=str(file), environment=environment)


def _digest(file: pathlib.Path) -> str:
    """Which file it is: a home may have had several."""
    return hashlib.sha256(os.fsencode(file.absolute())).hexdigest()[:12]
