"""Taking up a configuration again while a process runs: on SIGHUP, and when its file has changed."""

import asyncio
import contextlib
import pathlib
import signal
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.beat import until_beat
from services.chassis.config import ConfigError
from services.chassis.notify import Notifier

LOG = structlog.get_logger()

Config = TypeVar("Config")

_POLL_SECONDS = 1.0
_RESULTS = ("applied", "unchanged", "refused")

VERSION = declared.Label("version", "a digest of the configuration")
INFO = declared.Gauge("hybrid_config_info", "1 for the version of the configuration in use.", [VERSION])
RELOADS = declared.Counter(
    "hybrid_config_reloads_total", "Times that the configuration was read again.", [declared.one_of("result", _RESULTS)]
)
SUCCESSFUL = declared.Gauge(
    "hybrid_config_last_reload_successful",
    "1: the configuration that was read last is in use. 0: it was refused.",
)
TAKEN = declared.Gauge(
    "hybrid_config_last_reload_success_timestamp_seconds",
    "When the configuration in use was taken up, in seconds since 1970.",
)

# What tells a file from what it was: editors write it again, or put another in its place.
_Mark = tuple[int, int, int] | None


class Reloading(Generic[Config]):
    """Reads a file again and has what is new taken up, as a whole or not at all. Counts, and says why not.

    Attributes:
        config: what is in use.

    Args:
        path: the file.
        config: what is in use, as read from it.
        read: reads the file; raises ConfigError. It runs in a thread, so that calls go on meanwhile.
        adopt: takes up what was read in one step, or raises ConfigError before it has changed anything.
        version: tells one content from another.
        registry: where the metrics go.
        notifier: hears when the file is read.
        keep: writes down what was read last, now that it is in use; it runs in a thread, but for the start.
        refused: what is wrong with the file, where `config` is another that was taken before.
    """

    def __init__(
        self,
        path: pathlib.Path,
        config: Config,
        *,
        read: Callable[[pathlib.Path], Config],
        adopt: Callable[[Config], None],
        version: Callable[[Config], str],
        registry: CollectorRegistry,
        notifier: Notifier | None = None,
        keep: Callable[[], None] = lambda: None,
        refused: Sequence[str] = (),
    ) -> None:
        self._notifier = notifier or Notifier()
        self._path = path
        self.config = config
        self._read = read
        self._adopt = adopt
        self._version = version
        self._keep = keep
        self._asked = asyncio.Event()
        self._seen = _mark(path)
        self._reloads = RELOADS.on(registry)
        self._info = INFO.on(registry)
        self._successful = SUCCESSFUL.on(registry)
        self._taken = TAKEN.on(registry)
        for result in _RESULTS:
            self._reloads.labels(result)
        self._in_use()
        if refused:
            self._done("refused")
            _warn(version(config), refused)
        keep()

    async def follow(self) -> None:
        """Go on for ever, or until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            while True:
                await self._news()
                with self._notifier.reloading():
                    await self.reload()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def reload(self) -> None:
        """Read the file, and take up what is new in it."""
        self._seen = _mark(self._path)
        try:
            config = await asyncio.to_thread(self._read, self._path)
            if config == self.config:
                self._done("unchanged")
                await asyncio.to_thread(self._keep)
                return
            self._adopt(config)
        except ConfigError as error:
            self._done("refused")
            LOG.error("config.refused", problems=error.problems, config_version=self._version(self.config))
            return
        self.config = config
        self._done("applied")
        self._in_use()
        LOG.info("config.applied", config_version=self._version(config))
        await asyncio.to_thread(self._keep)

    async def _news(self) -> None:
        """Wait until somebody asks, or the file has become another and stays as it is."""
        earlier = self._seen
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_beat(_POLL_SECONDS)):
                    await self._asked.wait()
                self._asked.clear()
                return
            now = _mark(self._path)
            # Whoever writes a file bit by bit must not be read in the middle of it.
            if now is not None and now == earlier != self._seen:
                return
            earlier = now

    def _done(self, result: str) -> None:
        self._reloads.labels(result).inc()
        self._successful.set(result != "refused")

    def _in_use(self) -> None:
        self._info.clear()
        self._info.labels(self._version(self.config)).set(1)
        self._successful.set(1)
        self._taken.set(time.time())


def begun(registry: CollectorRegistry, version: str, refused: Sequence[str]) -> None:
    """Tell with what a process begins that reads its file but once; loudly where that is not what the file says.

    Args:
        registry: where the metrics go.
        version: of the configuration in use.
        refused: what is wrong with the file, where another configuration that was taken before is in use.
    """
    INFO.on(registry).labels(version).set(1)
    SUCCESSFUL.on(registry).set(not refused)
    if refused:
        _warn(version, refused)


def _warn(version: str, refused: Sequence[str]) -> None:
    LOG.error("config.refused", problems=list(refused), config_version=version)
    LOG.error("config.last_good", config_version=version, advice="mend the file: a new mesh does not start with it")


def _mark(path: pathlib.Path) -> _Mark:
    """None while there is no file, as in the middle of its replacement."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
