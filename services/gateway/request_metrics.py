"""What is counted of requests."""

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.children import Children
from services.gateway.outcome import WORDS, outcome_word
from services.inference import labels
from services.inference.attempts import FIRST

# The buckets of vLLM's own histograms, so that panels overlay.
_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5)

_API = declared.one_of("api", ("openai", "inference"), "the face that the request came through")
_OUTCOME = declared.one_of("outcome", WORDS)
_GEN_AI = (labels.OPERATION_NAME, declared.Label("gen_ai_request_model", labels.MODEL.means))

RUNNING = declared.Gauge("hybrid_gateway_requests_running", "Requests under way.")
ENDED = declared.Counter(
    "hybrid_gateway_requests_total",
    "Requests ended, by outcome and reason.",
    (_API, labels.MODEL, _OUTCOME, labels.REASON),
)
SECONDS = declared.Histogram(
    "gen_ai_server_request_duration_seconds",
    "Duration of requests.",
    (*_GEN_AI, labels.ERROR_TYPE),
    buckets=_SECONDS,
)
FIRST_TOKEN = declared.Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "Time from a request's arrival to its first content.",
    _GEN_AI,
    buckets=_SECONDS,
)
PER_TOKEN = declared.Histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Time per output token after the first content, of requests that ended well.",
    _GEN_AI,
    buckets=_TOKEN_SECONDS,
)
TOKENS = declared.Counter(
    "hybrid_gateway_tokens_total",
    "Tokens of requests, by direction.",
    (_API, labels.MODEL, declared.one_of("direction", ("input", "output"))),
)
COST = declared.Counter(
    "hybrid_gateway_cost_usd_total",
    "What attempts have cost by the price table, in US dollars, shadows included.",
    (labels.PROVIDER, labels.MODEL, labels.KIND),
)
ATTEMPTS = declared.Counter(
    "hybrid_gateway_attempts_total",
    "Attempts ended.",
    (labels.PROVIDER, labels.WORKER, _OUTCOME, labels.REASON),
)


class RequestMetrics:
    """The metrics of requests. `model` is the own name of a configured one, never what a caller made up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = RUNNING.on(registry)
        self._ended = Children(ENDED.on(registry))
        self._seconds = Children(SECONDS.on(registry))
        self._first_token = Children(FIRST_TOKEN.on(registry))
        self._per_token = Children(PER_TOKEN.on(registry))
        self._tokens = Children(TOKENS.on(registry))
        self._cost = Children(COST.on(registry))
        self._attempts = Children(ATTEMPTS.on(registry))

    def request_ended(
        self,
        request: ledger.RequestRecord,
        *,
        model: str,
        seconds: float,
        first_content_seconds: float | None,
        usage: generation.Usage | None,
        exemplar: dict[str, str] | None,
    ) -> None:
        """A request has ended.

        Args:
            request: as it is recorded.
            model: the own name of its model, or `other`.
            seconds: how long it took.
            first_content_seconds: how long until its first content; None where there was none.
            usage: its tokens; None where nothing is known of them.
            exemplar: which trace shows it, see `services.chassis.exemplar`.
        """
        api, reason = request.api, request.error_reason
        operation = labels.OPERATIONS[request.operation]
        self._ended.of(api, model, outcome_word(request.outcome), reason).inc()
        self._seconds.of(operation, model, reason).observe(seconds, exemplar)
        if first_content_seconds is not None:
            self._first_token.of(operation, model).observe(first_content_seconds, exemplar)
        if usage is None:
            return
        self._tokens.of(api, model, "input").inc(usage.input_tokens)
        self._tokens.of(api, model, "output").inc(usage.output_tokens)
        # The conventions count answers that are whole, and from the second token on.
        if first_content_seconds is not None and not reason and usage.output_tokens > 1:
            per_token = (seconds - first_content_seconds) / (usage.output_tokens - 1)
            self._per_token.of(operation, model).observe(per_token, exemplar)

    def attempt_ended(self, attempt: ledger.AttemptRecord, *, model: str) -> None:
        """An attempt has ended, and is charged. `model` is that of its request."""
        outcome = outcome_word(attempt.outcome)
        self._attempts.of(attempt.provider, attempt.worker, outcome, attempt.error_reason).inc()
        if attempt.cost_nano_usd:
            self._cost.of(attempt.provider, model, attempt.kind or FIRST).inc(attempt.cost_nano_usd / 1e9)
