"""What is counted of attempts, as of calls that a client makes to its provider."""

from hybridinference.inference.v1 import generation_pb2 as generation
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.children import Children
from services.inference import labels

# The buckets of vLLM's own histograms, so that panels overlay.
_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
# Those of the convention.
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)

_MODEL = declared.Label("gen_ai_request_model", "a model of the provider's, or `other`")
_CALL = (labels.OPERATION_NAME, labels.PROVIDER_NAME, _MODEL)

RUNNING = declared.Gauge("hybrid_worker_attempts_running", "Attempts under way.")
SECONDS = declared.Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Duration of attempts.",
    (*_CALL, labels.ERROR_TYPE),
    buckets=_SECONDS,
)
FIRST_CHUNK = declared.Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "Time from the start of an attempt to its first content.",
    _CALL,
    buckets=_SECONDS,
)
TOKENS = declared.Histogram(
    "gen_ai_client_token_usage",
    "Tokens of attempts, as the provider counts them.",
    (*_CALL, labels.TOKEN_TYPE),
    buckets=_TOKENS,
)
CACHED = declared.Counter(
    "hybrid_worker_cached_tokens_total", "Tokens of prompts that the provider had in a cache.", (_MODEL,)
)


class AttemptMetrics:
    """Running, duration, time to first content, tokens."""

    def __init__(self, registry: CollectorRegistry, *, kind: str) -> None:
        """`kind` is the provider's."""
        self.running = RUNNING.on(registry)
        self._provider = labels.provider_name(kind)
        self._seconds = Children(SECONDS.on(registry))
        self._first_chunk = Children(FIRST_CHUNK.on(registry))
        self._tokens = Children(TOKENS.on(registry))
        self._cached = Children(CACHED.on(registry))

    def ended(
        self,
        operation: str,
        model: str,
        reason: str,
        *,
        seconds: float,
        first_seconds: float | None,
        usage: generation.Usage | None,
        exemplar: dict[str, str] | None,
    ) -> None:
        """An attempt has ended.

        Args:
            operation: `chat`, `completions` or `embeddings`.
            model: one that the provider serves, or `other`.
            reason: of its failure; empty where it is whole.
            seconds: how long it took.
            first_seconds: how long until its first content; None where there was none.
            usage: its tokens; None where nothing is known of them.
            exemplar: which trace shows it, see `services.chassis.exemplar`.
        """
        call = (labels.OPERATIONS[operation], self._provider, model)
        self._seconds.of(*call, reason).observe(seconds, exemplar)
        if first_seconds is not None:
            self._first_chunk.of(*call).observe(first_seconds, exemplar)
        if usage is not None:
            self._tokens.of(*call, "input").observe(usage.input_tokens)
            self._tokens.of(*call, "output").observe(usage.output_tokens)
            self._cached.of(model).inc(usage.cached_tokens)
