"""How much a request may take at most. Pure."""

from collections.abc import Collection

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.config.mesh import MeshConfig
from services.gateway.ask import estimated_tokens
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.reservation import Need

Spec = generation.GenerationSpec | embedding.EmbeddingSpec


class Estimates:
    """By a configuration and its prices. Immutable."""

    def __init__(self, config: MeshConfig, book: PriceBook) -> None:
        self._book = book
        self._assumed_output_tokens = config.access.assumed_output_tokens
        self._longest_seconds = config.gateway.timeout_seconds
        names = config.names()
        contexts = {model.name: model.context_tokens for model in config.models}
        self._contexts = {name: contexts[model] for name, model in names.items()}

    def need(self, spec: Spec, seconds: float | None, *, priced: bool, providers: Collection[str] = ()) -> Need:
        """The most that a request may take, on the dearest route that may serve it.

        Args:
            spec: what it asks for.
            seconds: how long it may run; None is as long as any may.
            priced: whether it matters what it costs.
            providers: those that may serve it; empty is all.
        """
        given, made = estimated_tokens(spec), self._longest(spec)
        if not priced:
            return Need(given + made, 0)
        cost = self._book.dearest(
            spec.model, input_tokens=given, output_tokens=made, seconds=self._seconds(seconds), providers=providers
        )
        return Need(given + made, cost)

    def attempt(
        self, spec: Spec, provider: str, provider_model: str, seconds: float | None, *, input_tokens: int
    ) -> int:
        """The most that one attempt there may cost, in nano-USD; `input_tokens` of the prompt, as estimated."""
        return self._book.most(
            provider,
            provider_model,
            input_tokens=input_tokens,
            output_tokens=self._longest(spec),
            seconds=self._seconds(seconds),
        )

    def _longest(self, spec: Spec) -> int:
        """Tokens of all answers together, at most."""
        if isinstance(spec, embedding.EmbeddingSpec):
            return 0
        longest = spec.max_output_tokens
        if not longest:
            context = self._contexts.get(spec.model, 0)
            longest = min(context, self._assumed_output_tokens) if context else self._assumed_output_tokens
        return longest * max(1, spec.choices)

    def _seconds(self, seconds: float | None) -> float:
        return self._longest_seconds if seconds is None else min(seconds, self._longest_seconds)
