"""What is counted of attempts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The buckets of vLLM's own histogram, so that panels overlay.
_FIRST_TOKEN_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40)


class AttemptMetrics:
    """Running, ended, tokens, time to first content."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = Gauge("hybrid_worker_attempts_running", "Attempts under way.", registry=registry)
        self.ended = Counter(
            "hybrid_worker_attempts_total", "Attempts ended, by reason.", ("reason",), registry=registry
        )
        self.tokens = Counter("hybrid_worker_tokens_total", "Tokens, by direction.", ("direction",), registry=registry)
        self.first_token = Histogram(
            "hybrid_worker_first_token_seconds",
            "Time from the start of an attempt to its first content, in seconds.",
            buckets=_FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
