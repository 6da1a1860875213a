"""Turning inputs into vectors with an engine."""

import asyncio
import contextlib
import itertools
import math
from typing import Any

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.provider import AttemptContext, Embedded
from services.workers.vllm.engine import Engine, salted
from services.workers.vllm.failures import failed, saturated


class Embedder:
    """Gives each input to the engine as a request of its own, so that those of all calls share its steps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._api = engine.api
        self._llm = engine.llm
        self._numbers = itertools.count(1)
        # As many as run at once: what the engine would only queue waits here, where it counts as no refusal.
        self._places = asyncio.Semaphore(engine.capacity)
        self._pending = 0

    @property
    def waiting(self) -> int:
        """Inputs that wait for a place in the engine."""
        return max(0, self._pending - self._engine.capacity)

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Embed all inputs. Cancelling the task aborts them in the engine.

        Raises:
            Failure: CONTEXT_TOO_LONG or SPEC_INVALID, naming the input; WORKER_SATURATED; the engine's.
        """
        if self._engine.admitted and self._pending >= self._engine.admitted:
            raise saturated()
        dimensions = spec.dimensions if spec.HasField("dimensions") else None
        self._pending += len(spec.inputs)
        try:
            # All of them before any: an input that is too long is found out before work is spent on the others.
            prompts = [await self._prompt(spec, index, context.tenant) for index in range(len(spec.inputs))]
            params = self._api.PoolingParams
            vectors = await _all(
                [self._vector(spec.model, f"inputs[{index}]", prompt, params(task="embed", dimensions=dimensions))
                 for index, prompt in enumerate(prompts)]
            )  # fmt: skip
        finally:
            self._pending -= len(spec.inputs)
        usage = generation.Usage(input_tokens=sum(len(prompt["prompt_token_ids"]) for prompt in prompts))
        return Embedded(vectors, usage, spec.model)

    async def warm_up(self) -> None:
        """The first vector takes longer than those after it."""
        spec = embedding.EmbeddingSpec(inputs=[embedding.EmbeddingInput(text="Hello")])
        await self.embed(spec, AttemptContext())

    async def _prompt(self, spec: embedding.EmbeddingSpec, index: int, tenant: str) -> Any:
        """An input as the engine takes it. The tokenizer runs in the renderer's own threads."""
        item = spec.inputs[index]
        given: dict[str, Any] = {"prompt": item.text}
        if item.HasField("token_ids"):
            given = {"prompt_token_ids": list(item.token_ids.ids)}
        field = f"inputs[{index}]"
        with self._engine.failures(model=spec.model, field=field, prompt=field):
            (prompt,) = await self._llm.renderer.render_cmpl_async([given], prompt_extras=salted(tenant))
        return prompt

    async def _vector(self, model: str, field: str, prompt: Any, params: Any) -> embedding.Embedding:
        request_id = f"embed-{next(self._numbers)}"
        at_fault = field if params.dimensions is None else "dimensions"
        async with self._places:
            try:
                with self._engine.failures(model=model, field=at_fault, prompt=field):
                    async with contextlib.aclosing(self._llm.encode(prompt, params, request_id)) as outputs:
                        async for output in outputs:
                            if output.finished:
                                return _embedding(output.outputs.data)
            finally:
                # The engine aborts by itself what is cancelled, unless that happens while the request is handed over.
                await self._llm.abort(request_id)
        raise AssertionError("an engine's stream of vectors ended without one")


def _embedding(vector: Any) -> embedding.Embedding:
    values = vector.tolist()
    if not all(map(math.isfinite, values)):
        raise failed()
    return embedding.Embedding(values=values)


async def _all(work: list[Any]) -> list[embedding.Embedding]:
    """The results in order; the first failure ends the rest."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one) for one in work]
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return [task.result() for task in running]
