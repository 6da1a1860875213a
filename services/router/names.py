"""Names of workers that lead to several addresses, each of them a worker: looked up again and again."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from services.config.mesh import MeshConfig
from services.config.places import DNS

LOG = structlog.get_logger()

# About as long as Kubernetes' own DNS remembers an answer.
_EVERY_SECONDS = 5.0
# What does not answer by then is asked again the next time; until then its last answer counts.
_PATIENCE_SECONDS = 2.0

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, each as HOST:PORT.

    Raises:
        OSError: it has none, or nobody can be asked.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [
        f"[{where[0]}]:{port}" if family == socket.AF_INET6 else f"{where[0]}:{port}" for family, *_, where in found
    ]


class Names:
    """What the names of a configuration's workers lead to.

    Attributes:
        found: the addresses by the name, `dns:///HOST:PORT`. A name that leads nowhere now keeps those that it had.
    """

    def __init__(
        self, config: MeshConfig, *, resolve: Resolve = resolve, every_seconds: float = _EVERY_SECONDS
    ) -> None:
        self.found: Mapping[str, tuple[str, ...]] = {}
        self._config = config
        self._resolve = resolve
        self._every_seconds = every_seconds
        self._wake = asyncio.Event()

    def reconfigure(self, config: MeshConfig) -> None:
        """Look up the names of another configuration, soon."""
        self._config = config
        self._wake.set()

    async def look(self) -> bool:
        """Look all of them up, and say whether any leads elsewhere than before."""
        names = sorted({place.address for place in self._config.workers() if place.address.startswith(DNS)})
        answers = await asyncio.gather(*(self._look(name) for name in names))
        before, self.found = self.found, dict(zip(names, answers, strict=True))
        return self.found != before

    async def follow(self, changed: Callable[[], None]) -> None:
        """Look again and again, for ever; `changed` is called where something leads elsewhere."""
        while True:
            try:
                async with asyncio.timeout(self._every_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if await self.look():
                LOG.info("workers.resolved", addresses=sum(len(each) for each in self.found.values()))
                changed()

    async def _look(self, name: str) -> tuple[str, ...]:
        host, _, port = name.removeprefix(DNS).rpartition(":")
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return tuple(sorted(set(await self._resolve(host, int(port)))))
        except (OSError, TimeoutError, UnicodeError) as error:  # the last: it is no name at all
            LOG.debug("workers.unresolved", name=name, error=str(error))
            return self.found.get(name, ())
