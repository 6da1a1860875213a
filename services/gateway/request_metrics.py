"""What is counted of requests."""

from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

M = TypeVar("M", Counter, Histogram)

# The buckets of vLLM's own histogram, so that panels overlay.
_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)


class Labelled(Generic[M]):
    """A metric with labels. Its own look for a child takes ten times as long, and there are six for each request."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def labels(self, *values: str) -> M:
        """The child with these values, of which there are only so many."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child


class RequestMetrics:
    """The metrics of requests. `model` is the own name of a configured one, never what a caller made up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("api", "model")
        self.running = Gauge("hybrid_gateway_requests_running", "Requests under way.", registry=registry)
        self.ended = Labelled(
            Counter(
                "hybrid_gateway_requests_total",
                "Requests ended, by outcome and reason.",
                (*labels, "outcome", "reason"),
                registry=registry,
            )
        )
        self.seconds = Labelled(
            Histogram(
                "hybrid_gateway_request_seconds", "Duration of requests.", labels, buckets=_SECONDS, registry=registry
            )
        )
        self.first_content = Labelled(
            Histogram(
                "hybrid_gateway_first_content_seconds",
                "Time from a request's arrival to its first content.",
                labels,
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self.tokens = Labelled(
            Counter("hybrid_gateway_tokens_total", "Tokens, by direction.", (*labels, "direction"), registry=registry)
        )
        self.attempts = Labelled(
            Counter(
                "hybrid_gateway_attempts_total",
                "Attempts ended.",
                ("provider", "worker", "outcome", "reason"),
                registry=registry,
            )
        )
