"""A vLLM engine as a provider."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Any

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.config.provider import VllmProvider
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from services.workers.vllm import answer, engine, failures, loading, translation
from services.workers.vllm.vocabulary import Vocabulary

CAPABILITIES = (
    model.CAPABILITY_CHAT,
    model.CAPABILITY_JSON_OBJECT,
    model.CAPABILITY_JSON_SCHEMA,
    model.CAPABILITY_LOGPROBS,
    model.CAPABILITY_CHOICES,
    model.CAPABILITY_SEED,
    model.CAPABILITY_PENALTIES,
    model.CAPABILITY_LOGIT_BIAS,
    model.CAPABILITY_TOP_K,
    model.CAPABILITY_STOP,
)

# How often a resting engine is looked at. One that works tells by itself when it dies.
_HEALTH_SECONDS = 1.0


@contextlib.asynccontextmanager
async def open_provider(config: VllmProvider, *, drain_seconds: float = 10.0) -> AsyncIterator["VllmEngine"]:
    """Load the model; on leaving, let running generations finish for up to `drain_seconds` and stop the engine."""
    up = await loading.built(lambda: engine.build(config, drain_seconds=drain_seconds))
    provider = VllmEngine(up, config.model_names[0])
    try:
        await provider.warm_up()
        yield provider
    finally:
        # Blocks until the engine's process has ended; meanwhile the streams it drains need this loop.
        await asyncio.to_thread(up.stop, drain_seconds)


class VllmEngine:
    """A running engine. Implements `services.workers.provider.Provider`."""

    def __init__(self, up: engine.Engine, name: str) -> None:
        self._engine = up
        self._api = up.api
        self._llm = up.llm
        self._model = name
        self._vocabulary = Vocabulary(up.llm.get_tokenizer())
        self._numbers = itertools.count(1)
        self._dead = asyncio.Event()

    @property
    def models(self) -> Sequence[ServedModel]:
        """The one model."""
        return (ServedModel(self._model, self._engine.context_tokens, CAPABILITIES),)

    def load(self) -> Load:
        """How busy the engine is."""
        return self._engine.stats.load(
            unfinished=self._llm.get_num_unfinished_requests(),
            queued_tokens=self._llm.get_num_queued_tokens(),
            capacity=self._engine.capacity,
            kv_capacity_tokens=self._engine.kv_capacity_tokens,
        )

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator aborts the request in the engine."""
        translation.check(spec, admitted=self._engine.admitted)
        with self._failures(spec, "messages"):
            prompt = await self._rendered(translation.chat_messages(spec))
        arguments = translation.sampling_arguments(
            spec,
            self._engine.sampling_defaults,
            prompt_tokens=len(prompt["prompt_token_ids"]),
            context_tokens=self._engine.context_tokens,
        )
        fold = answer.Answer(choices=spec.choices or 1, top_logprobs=spec.logprobs.top, vocabulary=self._vocabulary)
        begun = False
        with self._failures(spec, "response_format" if "structured_outputs" in arguments else ""):
            async with self._running(prompt, self._sampling_params(arguments)) as outputs:
                async for output in outputs:
                    if not begun:
                        begun = True
                        yield answer.started(self._model)
                    for event in fold.deltas(output):
                        yield event
        yield fold.finished()

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Not offered: the model generates."""
        raise Failure(
            reasons.ERROR_REASON_UNSUPPORTED,
            f"The model `{spec.model}` generates text; it does not embed.",
            field="model",
            model=spec.model,
            provider="vllm",
        )

    async def died(self) -> str:
        """Return once the engine is dead."""
        while not (self._dead.is_set() or self._llm.errored):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEALTH_SECONDS):
                    await self._dead.wait()
        return "the engine's process has ended"

    async def warm_up(self) -> None:
        """Render a prompt, since the first takes 0.4 s, and a model without a chat template is found out here."""
        await self._rendered([{"role": "user", "content": "Hello"}])

    async def _rendered(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The prompt in tokens. Template and tokenizer run in the renderer's own threads."""
        renderer = self._llm.renderer
        params = self._api.ChatParams(chat_template_kwargs={"add_generation_prompt": True, "tokenize": True})
        _, (prompt,) = await renderer.render_chat_async([messages], params, renderer.default_chat_tok_params)
        rendered: dict[str, Any] = prompt
        return rendered

    def _sampling_params(self, arguments: dict[str, Any]) -> Any:
        form = arguments.get("structured_outputs")
        if form:
            arguments = arguments | {"structured_outputs": self._api.StructuredOutputsParams(**form)}
        return self._api.SamplingParams(**arguments, output_kind=self._api.RequestOutputKind.DELTA)

    @contextlib.asynccontextmanager
    async def _running(self, prompt: dict[str, Any], params: Any) -> AsyncIterator[AsyncGenerator[Any, None]]:
        """The engine's outputs. However this ends, the engine is rid of the request."""
        request_id = str(next(self._numbers))
        try:
            async with contextlib.aclosing(self._llm.generate(prompt, params, request_id)) as outputs:
                yield outputs
        finally:
            # The engine aborts by itself what is cancelled, unless that happens while the request is being handed over.
            await self._llm.abort(request_id)

    @contextlib.contextmanager
    def _failures(self, spec: generation.GenerationSpec, field: str) -> Iterator[None]:
        """Turn what the engine raises into failures; `field` is what is at fault where it does not tell."""
        try:
            yield
        except self._api.errors.all as error:
            if isinstance(error, self._api.errors.dead):
                self._dead.set()
            raise failures.from_engine(error, self._api.errors, model=spec.model, field=field) from error
