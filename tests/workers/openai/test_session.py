"""The provider behind the worker's own session: what is told of the keys that were tried."""

import contextlib
import pathlib
import time
from typing import Any

import grpc
import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.channel import open_channel
from services.workers.service import TRIES
from tests.fakes import GatewaySession, gateway_session, running_worker
from tests.vendors.openai_server import Asked, Script, embeddings, failing, in_turn, text
from tests.workers.openai.test_provider import KEYS, serving, spec


def tries(gateway: GatewaySession, attempt_id: str) -> list[provider_try.ProviderTry]:
    return [
        one
        for message in gateway.messages
        for event in message.events
        if event.attempt_id == attempt_id
        for one in event.tries
    ]


async def start(gateway: GatewaySession, attempt_id: str, tenant: str = "") -> None:
    begin = session.StartAttempt(attempt_id=attempt_id, spec=spec(), tenant=tenant)
    await gateway.say(session.SessionCommand(start=begin))


async def test_the_end_of_an_attempt_tells_each_key_that_failed_before(tmp_path: pathlib.Path) -> None:
    def answer(asked: Asked) -> Script:
        return {KEYS[0]: failing(401), KEYS[1]: failing(500)}.get(asked.key, Script(text("a")))

    address = f"unix:{tmp_path}/worker.sock"
    async with contextlib.AsyncExitStack() as stack:
        provider, _ = await stack.enter_async_context(serving(answer, KEYS))
        await stack.enter_async_context(running_worker(address, provider))
        gateway = await stack.enter_async_context(gateway_session(address))
        await start(gateway, "1")
        assert await gateway.outcome("1") is None
        told = tries(gateway, "1")
        assert [(one.key, one.http_status) for one in told] == [(0, 401), (1, 500)]
        assert [one.reason for one in told] == [
            reasons.ERROR_REASON_PROVIDER_CREDENTIAL,
            reasons.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ]
        assert all(one.duration.ToNanoseconds() > 0 for one in told)
        await start(gateway, "2")
        assert await gateway.outcome("2") is None
        assert [one.key for one in tries(gateway, "2")] == [1], "the key that was refused is left alone"


async def test_an_attempt_that_fails_with_every_key_tells_them_all(tmp_path: pathlib.Path) -> None:
    address = f"unix:{tmp_path}/worker.sock"
    async with contextlib.AsyncExitStack() as stack:
        provider, fake = await stack.enter_async_context(serving(failing(429, retry_after="7"), KEYS))
        await stack.enter_async_context(running_worker(address, provider))
        gateway = await stack.enter_async_context(gateway_session(address))
        begun = time.monotonic()
        told = await wait(gateway, "1")
        assert 7 - (time.monotonic() - begun) <= told <= 7
        asked = [KEYS.index(one.key) for one in fake.asked]
        assert [(one.key, one.http_status) for one in tries(gateway, "1")] == [(key, 429) for key in asked]
        assert sorted(asked) == [0, 1, 2]
        told = await wait(gateway, "2")
        assert 7 - (time.monotonic() - begun) <= told <= 7
        assert tries(gateway, "2") == []
        assert len(fake.asked) == 3


async def wait(gateway: GatewaySession, attempt_id: str) -> float:
    """How long an attempt is told to wait for the rate limit."""
    await start(gateway, attempt_id, tenant="t")
    why = await gateway.outcome(attempt_id)
    assert why is not None, "it finished"
    failure = status.from_status(why)
    assert failure.reason == reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert failure.retry_after is not None
    return failure.retry_after


async def test_embed_tells_its_tries_beside_the_answer_and_beside_a_failure(tmp_path: pathlib.Path) -> None:
    scripts = [failing(401), embeddings([1.0, 2.0]), failing(400)]
    address = f"unix:{tmp_path}/worker.sock"
    asked = embedding.EmbeddingSpec(model="m", inputs=[embedding.EmbeddingInput(text="a")])
    async with contextlib.AsyncExitStack() as stack:
        able = {"capabilities": ["embeddings"]}
        provider, _ = await stack.enter_async_context(serving(in_turn(scripts), KEYS, **able))
        await stack.enter_async_context(running_worker(address, provider))
        stub = worker_grpc.WorkerServiceStub(await stack.enter_async_context(open_channel(address)))
        call = stub.Embed(worker.EmbedRequest(spec=asked))
        assert list((await call).embeddings[0].values) == [1.0, 2.0]
        assert [(one.key, one.http_status) for one in await told_beside(call)] == [(0, 401)]
        call = stub.Embed(worker.EmbedRequest(spec=asked))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert status.from_rpc_error(caught.value).reason == reasons.ERROR_REASON_PROVIDER_REJECTED
        assert [one.http_status for one in await told_beside(call)] == [400]


async def told_beside(call: Any) -> list[provider_try.ProviderTry]:
    metadata = dict(await call.trailing_metadata())
    return list(worker.EmbedTries.FromString(metadata[TRIES]).tries)
