"""What the loader has done, and how far it is behind."""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


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
        self.requests = Counter("hybrid_loader_requests", "Requests inserted.", registry=registry)
        self.replayed = Counter(
            "hybrid_loader_replayed", "Requests that were in the ledger already.", registry=registry
        )
        self.replays = Counter(
            "hybrid_loader_replays", "Kept segments that the database had lost, loaded again.", registry=registry
        )
        self.dead = Counter("hybrid_loader_dead_letters", "Records, or damaged bytes, put aside.", registry=registry)
        self.seconds = Histogram("hybrid_loader_batch_seconds", "Time to load one batch.", registry=registry)


class BehindCollector(Collector):
    """Asks a loader when it is asked."""

    def __init__(self, loader: Watched) -> None:
        self._loader = loader

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        size, age = self._loader.behind()
        yield GaugeMetricFamily("hybrid_loader_behind_bytes", "Bytes of the spool that are not loaded.", value=size)
        yield GaugeMetricFamily(
            "hybrid_loader_behind_seconds", "Age of the oldest segment not wholly loaded.", value=age
        )
        kept = self._loader.kept_bytes()
        yield GaugeMetricFamily("hybrid_loader_kept_bytes", "Bytes of loaded segments that are kept.", value=kept)
        connected = float(self._loader.connected())
        yield GaugeMetricFamily("hybrid_loader_connected", "Whether the database answers.", value=connected)
