"""What the loader has done, and how far it is behind."""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from services.chassis import declared
from services.gateway.database import DATABASE_UP

REQUESTS = declared.Counter("hybrid_loader_requests_total", "Requests inserted.")
REPLAYED = declared.Counter("hybrid_loader_replayed_total", "Requests that were in the ledger already.")
REPLAYS = declared.Counter("hybrid_loader_replays_total", "Kept segments that the database had lost, loaded again.")
DEAD = declared.Counter("hybrid_loader_dead_letters_total", "Records, or damaged bytes, put aside.")
BATCH_SECONDS = declared.Histogram("hybrid_loader_batch_seconds", "Time to load one batch.")
BEHIND_BYTES = declared.Gauge("hybrid_loader_behind_bytes", "Bytes of the spool that are not loaded.")
BEHIND_SECONDS = declared.Gauge("hybrid_loader_behind_seconds", "Age of the oldest segment not wholly loaded.")
KEPT_BYTES = declared.Gauge("hybrid_loader_kept_bytes", "Bytes of loaded segments that are kept.")


class Watched(Protocol):
    """Something that loads."""

    def behind(self) -> tuple[int, float]:
        """Bytes that are not loaded, and the age in seconds of the oldest segment with such bytes."""
        ...

    def kept_bytes(self) -> int:
        """Bytes of loaded segments that are kept."""
        ...

    def connected(self) -> bool:
        """Whether the database took the last thing it was given."""
        ...


class LoaderMetrics:
    """What the loader has done."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = REQUESTS.on(registry)
        self.replayed = REPLAYED.on(registry)
        self.replays = REPLAYS.on(registry)
        self.dead = DEAD.on(registry)
        self.seconds = BATCH_SECONDS.on(registry)


class BehindCollector(Collector):
    """Asks a loader when it is asked."""

    def __init__(self, loader: Watched) -> None:
        self._loader = loader

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        size, age = self._loader.behind()
        yield BEHIND_BYTES.now(size)
        yield BEHIND_SECONDS.now(age)
        yield KEPT_BYTES.now(self._loader.kept_bytes())
        yield DATABASE_UP.each([(("ledger",), self._loader.connected())])
