"""What flags say, and who changed them: the owner of the file, since processes that read it know of nobody else."""

import asyncio
import dataclasses
import datetime
import pathlib
import pwd
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from services.chassis.failure import Failure
from services.config.flags import Flags
from services.config.mesh import MeshConfig

LOG = structlog.get_logger()

_RETRY_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Saying:
    """What flags say, and by whom and when the file was written that says so.

    Attributes:
        flags: by name, each as plain data.
        by: `file:` and the name of the file's owner.
        at: when the file was changed last.
        version: of the configuration.
    """

    flags: Mapping[str, Mapping[str, Any]]
    by: str
    at: datetime.datetime
    version: str


# Writes down what differs from what was written down last.
Note = Callable[[Saying], Awaitable[None]]


def plain(flags: Flags) -> dict[str, dict[str, Any]]:
    """Flags as plain data."""
    found: dict[str, dict[str, Any]] = flags.model_dump(mode="json")
    return found


def saying(config: MeshConfig, path: pathlib.Path) -> Saying:
    """What the configuration in that file says."""
    try:
        found = path.stat()
        at = datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC)
    except OSError:  # it is being replaced
        return Saying(plain(config.flags), "file:unknown", datetime.datetime.now(datetime.UTC), config.version)
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    return Saying(plain(config.flags), f"file:{owner}", at, config.version)


class Noting:
    """Has changes of flags written down, again until the database has them."""

    def __init__(self, note: Note, first: Saying) -> None:
        self._note = note
        self._said = first
        self._news = asyncio.Event()
        self._news.set()

    def say(self, said: Saying) -> None:
        """The configuration says this now."""
        self._said = said
        self._news.set()

    async def follow(self) -> None:
        """Write down for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._note(self._said)
            except Failure:
                LOG.warning("flags.unwritten", config_version=self._said.version)
                self._news.set()
                await asyncio.sleep(_RETRY_SECONDS)
