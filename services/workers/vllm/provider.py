"""A vLLM engine as a provider."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.config.provider import VllmProvider
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from services.workers.vllm import engine, loading
from services.workers.vllm.abilities import abilities
from services.workers.vllm.embedding import Embedder
from services.workers.vllm.generating import Generator
from services.workers.vllm.progress import Progress

# How often a resting engine is looked at. One that works tells by itself when it dies.
_HEALTH_SECONDS = 1.0


@contextlib.asynccontextmanager
async def open_provider(
    config: VllmProvider, report: Callable[[float], None], *, drain_seconds: float = 10.0
) -> AsyncIterator["VllmEngine"]:
    """Load the model; on leaving, let running generations finish for up to `drain_seconds` and stop the engine.

    `report` hears how far it has come, from 0 to 1.
    """
    progress = Progress()
    up = await loading.built(
        lambda: engine.build(config, drain_seconds=drain_seconds, progress=progress), progress, report
    )
    try:
        provider = VllmEngine(up, config.base_name, await up.llm.get_supported_tasks())
        await provider.warm_up()
        yield provider
    finally:
        # Blocks until the engine's process has ended; meanwhile the streams it drains need this loop.
        await asyncio.to_thread(up.stop, drain_seconds)


class VllmEngine:
    """A running engine. Implements `services.workers.provider.Provider`."""

    def __init__(self, up: engine.Engine, name: str, tasks: Collection[str]) -> None:
        self._engine = up
        self._llm = up.llm
        self._generator = Generator(up) if "generate" in tasks else None
        self._embedder = Embedder(up) if "embed" in tasks else None
        self._names = (name, *up.adapters)
        self._tasks = tasks
        self._models = self._able(chats=True)  # until the warm-up shows otherwise
        if not self._models[0].capabilities:
            raise ValueError(f"the model neither generates nor embeds; vLLM offers {', '.join(sorted(tasks))} for it")

    @property
    def models(self) -> Sequence[ServedModel]:
        """The model, and one more for each adapter."""
        return self._models

    @property
    def continues(self) -> bool:
        """It has the tokens of the answer follow those of the prompt."""
        return True

    def load(self) -> Load:
        """How busy the engine is."""
        load = self._engine.stats.load(
            unfinished=self._llm.get_num_unfinished_requests(),
            queued_tokens=self._llm.get_num_queued_tokens(),
            capacity=self._engine.capacity,
            kv_capacity_tokens=self._engine.kv_capacity_tokens,
        )
        if self._embedder is not None and self._embedder.waiting:
            load = dataclasses.replace(load, waiting=load.waiting + self._embedder.waiting)
        return load

    def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator aborts the request in the engine."""
        assert self._generator is not None, "the capability was checked"
        return self._generator.generate(spec, context)

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Embed. Cancelling the task aborts the requests in the engine."""
        assert self._embedder is not None, "the capability was checked"
        return await self._embedder.embed(spec, context)

    async def died(self) -> str:
        """Return once the engine is dead."""
        while not (self._engine.dead.is_set() or self._llm.errored):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEALTH_SECONDS):
                    await self._engine.dead.wait()
        return "the engine's process has ended"

    async def warm_up(self) -> None:
        """Load the adapters, and do once what takes longer the first time."""
        for name, adapter in self._engine.adapters.items():
            try:
                await self._llm.add_lora(adapter)
            except Exception as error:  # the engine passes on whatever its process says of an adapter
                raise ValueError(f"lora_adapters.{name}: the engine cannot load it: {error}") from error
        if self._generator is not None:
            self._models = self._able(chats=await self._generator.warm_up())
        if self._embedder is not None:
            await self._embedder.warm_up()

    def _able(self, *, chats: bool) -> Sequence[ServedModel]:
        able = abilities(
            self._tasks,
            chats=chats,
            tools=self._generator is not None and self._generator.calls_tools,
            effort=self._generator is not None and self._generator.effort.known,
            images=self._engine.sees_images,
            dimensions=self._engine.shortens_vectors,
        )
        return [ServedModel(name, self._engine.context_tokens, able) for name in self._names]
