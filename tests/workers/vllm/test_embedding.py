"""Turning inputs into vectors, on an engine that plays a script."""

import asyncio
from typing import Any

import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.provider import AttemptContext, Embedded
from services.workers.vllm.provider import VllmEngine
from tests.workers.vllm.fakes import FailedError, FakeLlm, fake_engine


def embedder(llm: FakeLlm) -> VllmEngine:
    """Two run at once, eight may be under way."""
    return VllmEngine(fake_engine(llm), "m", ["embed", "token_embed"])


def asking(*inputs: str | list[int], **fields: Any) -> embedding.EmbeddingSpec:
    made = embedding.EmbeddingSpec(model="m", **fields)
    for given in inputs:
        made.inputs.add(**({"text": given} if isinstance(given, str) else {"token_ids": {"ids": given}}))
    return made


async def embedded(llm: FakeLlm, spec: embedding.EmbeddingSpec) -> Embedded:
    return await embedder(llm).embed(spec, AttemptContext(tenant="t"))


async def failure_of(llm: FakeLlm, spec: embedding.EmbeddingSpec) -> Failure:
    with pytest.raises(Failure) as caught:
        await embedded(llm, spec)
    return caught.value


async def test_texts_and_tokens_become_vectors_in_order_and_are_counted() -> None:
    llm = FakeLlm([])
    found = await embedded(llm, asking("AB", [7, 8, 9], "C", "D", "E"))
    assert [list(vector.values) for vector in found.embeddings] == [[65.0], [7.0], [67.0], [68.0], [69.0]]
    assert (found.usage.input_tokens, found.provider_model) == (8, "m")
    assert llm.most_at_once == 2, "no more at once than the engine runs"
    assert all(extras["cache_salt"] for extras in llm.extras)
    assert not llm.unfinished


async def test_dimensions_reach_the_engine() -> None:
    llm = FakeLlm([])
    await embedded(llm, asking("A", dimensions=64))
    assert (llm.params.task, llm.params.dimensions) == ("embed", 64)


async def test_an_input_that_is_too_long_is_named_before_any_is_embedded() -> None:
    llm = FakeLlm([])
    failure = await failure_of(llm, asking("A", "B" * 11))
    assert (failure.reason, failure.metadata["field"]) == (reasons.ERROR_REASON_CONTEXT_TOO_LONG, "inputs[1]")
    assert llm.params is None


async def test_what_the_engine_raises_becomes_a_failure_and_ends_the_others() -> None:
    llm = FakeLlm([FailedError()])
    assert (await failure_of(llm, asking("A", "B", "C"))).reason == reasons.ERROR_REASON_ENGINE_FAILED
    assert not llm.unfinished


async def test_cancelling_rids_the_engine_of_every_input_and_makes_room() -> None:
    llm = FakeLlm([], endless=True)
    provider = embedder(llm)
    task = asyncio.create_task(provider.embed(asking(*"ABCDEFGHIJ"), AttemptContext()))
    await asyncio.wait_for(llm.begun.wait(), 5)
    await asyncio.sleep(0)
    assert (provider.load().running, provider.load().waiting) == (2, 8)
    with pytest.raises(Failure) as caught:
        await provider.embed(asking("K"), AttemptContext())
    assert caught.value.reason == reasons.ERROR_REASON_WORKER_SATURATED
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (provider.load().running, provider.load().waiting) == (0, 0)
