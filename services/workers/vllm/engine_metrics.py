"""What vLLM counts by itself, for the worker's endpoint."""

from collections.abc import Iterator

import prometheus_client
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_PREFIX = "vllm:"


class EngineCollector(Collector):
    """Hands on vLLM's metrics from prometheus-client's registry of the whole process, where it keeps them.

    The rest of that registry tells of the process, as the worker's own does.
    """

    def collect(self) -> Iterator[Metric]:
        """The families that there are; none before the engine is built."""
        for family in prometheus_client.REGISTRY.collect():
            if family.name.startswith(_PREFIX):
                yield family
