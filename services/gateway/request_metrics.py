"""What is counted of requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The buckets of vLLM's own histogram, so that panels overlay.
_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)


class Children:
    """A counter's children. Its own look for one takes ten times as long, and there are several for each request."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._known: dict[tuple[str, ...], Counter] = {}

    def inc(self, *values: str) -> None:
        """Count one with these labels, of which there are only so many."""
        child = self._known.get(values)
        if child is None:
            child = self._known[values] = self._counter.labels(*values)
        child.inc()


class ModelMetrics:
    """The metrics of requests for one model by one API."""

    def __init__(self, metrics: "RequestMetrics", api: str, model: str) -> None:
        self.seconds = metrics.seconds.labels(api, model)
        self.first_content = metrics.first_content.labels(api, model)
        self.input_tokens = metrics.tokens.labels(api, model, "input")
        self.output_tokens = metrics.tokens.labels(api, model, "output")
        self._ended = metrics.ended
        self._labels = (api, model)

    def ended(self, outcome: str, reason: str) -> None:
        """A request has ended so."""
        self._ended.inc(*self._labels, outcome, reason)


class RequestMetrics:
    """The metrics of requests. `model` is the own name of a configured one, never what a caller made up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("api", "model")
        self.running = Gauge("hybrid_gateway_requests_running", "Requests under way.", registry=registry)
        self.ended = Children(
            Counter(
                "hybrid_gateway_requests_total",
                "Requests ended, by outcome and reason.",
                (*labels, "outcome", "reason"),
                registry=registry,
            )
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
        self._attempts = Children(
            Counter(
                "hybrid_gateway_attempts_total",
                "Attempts ended.",
                ("provider", "worker", "outcome", "reason"),
                registry=registry,
            )
        )
        self._models: dict[tuple[str, str], ModelMetrics] = {}

    def of(self, api: str, model: str) -> ModelMetrics:
        """Those of one model."""
        found = self._models.get((api, model))
        if found is None:
            found = self._models[api, model] = ModelMetrics(self, api, model)
        return found

    def attempt_ended(self, provider: str, worker: str, outcome: str, reason: str) -> None:
        """An attempt has ended so."""
        self._attempts.inc(provider, worker, outcome, reason)
