"""What is counted of requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The buckets of vLLM's own histogram, so that panels overlay.
_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)


class RequestMetrics:
    """The metrics of requests. `model` is the own name of a configured one, never what a caller made up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("api", "model")
        self.running = Gauge("hybrid_gateway_requests_running", "Requests under way.", registry=registry)
        self.ended = Counter(
            "hybrid_gateway_requests_total",
            "Requests ended, by outcome and reason.",
            (*labels, "outcome", "reason"),
            registry=registry,
        )
        self.seconds = Histogram(
            "hybrid_gateway_request_seconds", "Duration of requests.", labels, buckets=_SECONDS, registry=registry
        )
        self.first_content = Histogram(
            "hybrid_gateway_first_content_seconds",
            "Time from a request's arrival to its first content.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "hybrid_gateway_tokens_total", "Tokens, by direction.", (*labels, "direction"), registry=registry
        )
        self.attempts = Counter(
            "hybrid_gateway_attempts_total",
            "Attempts ended.",
            ("provider", "worker", "outcome", "reason"),
            registry=registry,
        )
