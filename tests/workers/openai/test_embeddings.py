"""Embeddings on OpenAI's wire: a spec as a request, the answer as vectors, and the connection between them."""

import asyncio
import base64
import json
import struct
from typing import Any

import orjson
import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.workers.openai import embeddings
from services.workers.openai.provider import OpenAIServer
from services.workers.provider import AttemptContext, Embedded
from tests.fakes import eventually
from tests.vendors import openai_server
from tests.vendors.openai_server import Asked, Script, failing
from tests.workers.openai.test_provider import KEYS, serving

FLOAT = st.floats(allow_nan=False, allow_infinity=False, width=32)


def spec(*texts: str, **fields: Any) -> embedding.EmbeddingSpec:
    inputs = [embedding.EmbeddingInput(text=text) for text in texts or ("a", "b")]
    return embedding.EmbeddingSpec(model="m", inputs=inputs, **fields)


def tokens(*inputs: list[int]) -> embedding.EmbeddingSpec:
    lists = [embedding.EmbeddingInput(token_ids=embedding.TokenIds(ids=ids)) for ids in inputs]
    return embedding.EmbeddingSpec(model="m", inputs=lists)


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def read(answer: object, asked: embedding.EmbeddingSpec | None = None) -> Embedded:
    return embeddings.embedded(json.dumps(answer).encode(), asked or spec(), keys=())


def data(*said: object) -> dict[str, Any]:
    return {"data": [{"index": number, "embedding": one} for number, one in enumerate(said)]}


async def embed(provider: OpenAIServer, asked: embedding.EmbeddingSpec | None = None) -> Embedded:
    return await provider.embed(asked or spec(), AttemptContext())


async def failed(provider: OpenAIServer) -> Failure:
    with pytest.raises(Failure) as caught:
        await embed(provider)
    return caught.value


def test_the_request_asks_for_base64_and_says_what_the_spec_says() -> None:
    assert embeddings.body(spec("ä", "b", dimensions=3, user="u")) == {
        "model": "m",
        "input": ["ä", "b"],
        "encoding_format": "base64",
        "dimensions": 3,
        "user": "u",
    }
    assert embeddings.body(tokens([1, 2], [3]))["input"] == [[1, 2], [3]]
    assert not {"dimensions", "user"} & embeddings.body(spec()).keys()


def test_a_field_beyond_the_contract_passes_unless_it_is_denied() -> None:
    sent = orjson.dumps(embeddings.body(spec("a", provider_options_json='{"truncate": "END"}')))
    assert json.loads(sent)["truncate"] == "END"
    for denied in ("service_tier", "api_key", "input", "encoding_format"):
        with pytest.raises(Failure) as caught:
            embeddings.body(spec("a", provider_options_json=json.dumps({denied: "x"})))
        assert caught.value.reason == reasons.ERROR_REASON_UNSUPPORTED
        assert caught.value.metadata["field"] == f"provider_options_json.{denied}"


def test_texts_and_tokens_do_not_mix() -> None:
    mixed = spec("a")
    mixed.inputs.add().token_ids.ids.append(1)
    with pytest.raises(Failure) as caught:
        embeddings.body(mixed)
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert caught.value.metadata == {"field": "inputs"}


@given(st.lists(FLOAT, min_size=1, max_size=9))
def test_base64_and_lists_are_the_same_vector(numbers: list[float]) -> None:
    for said in (packed(*numbers), numbers):
        assert list(read(data(said), spec("a")).embeddings[0].values) == numbers


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    answer = data(packed(1.0), packed(2.0))
    answer["data"].reverse()
    assert [list(one.values) for one in read(answer).embeddings] == [[1.0], [2.0]]


def test_usage_is_what_was_counted_or_a_guess_that_says_so() -> None:
    vectors = data([1.0], [2.0])
    usage = read({**vectors, "usage": {"prompt_tokens": 7}}).usage
    assert (usage.input_tokens, usage.estimated) == (7, False)
    for nonsense in (None, {}, {"prompt_tokens": -1}, {"prompt_tokens": True}, [1]):
        assert read({**vectors, "usage": nonsense}).usage.estimated
    guess = read(vectors, tokens([1, 2, 3], [4])).usage
    assert (guess.input_tokens, guess.estimated) == (4, True)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"data": {}},
        data(packed(1.0)),
        data(packed(1.0), packed(1.0), packed(1.0)),
        data(packed(1.0), packed(1.0, 2.0)),
        data([], []),
        data(None, None),
        data({"a": 1}, [1.0]),
        data(["a"], [1.0]),
        data("AAA", [1.0]),
        data("AAAA", [1.0]),
        data("*" * 8, [1.0]),
        data(packed(float("nan")), [1.0]),
        data([1e300], [1.0]),
        data([None], [1.0]),
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]},
        {"data": [1, 2]},
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_answer_that_is_not_one_vector_for_each_input_is_malformed(answer: object) -> None:
    with pytest.raises(Failure) as caught:
        read(answer)
    assert caught.value.reason == reasons.ERROR_REASON_PROVIDER_MALFORMED


def test_vectors_of_another_length_than_was_asked_for_are_malformed() -> None:
    asked = spec("a", dimensions=2)
    assert len(read(data([1.0, 2.0]), asked).embeddings[0].values) == 2
    with pytest.raises(Failure, match="another length"):
        read(data([1.0]), asked)


@given(st.binary(max_size=60) | st.recursive(st.none() | st.text() | FLOAT, st.lists).map(lambda x: repr(x).encode()))
def test_no_answer_raises_anything_but_a_failure(answer: bytes) -> None:
    with pytest.raises(Failure):
        embeddings.embedded(answer, spec(), keys=())


@pytest.mark.parametrize("in_base64", [True, False])
async def test_vectors_come_over_a_connection_that_is_kept(*, in_base64: bool) -> None:
    script = openai_server.embeddings([0.5, -1.0], [0.25, 2.0], base64=in_base64)
    async with serving(script) as (provider, fake):
        for _ in range(3):
            embedded = await embed(provider)
            assert [list(one.values) for one in embedded.embeddings] == [[0.5, -1.0], [0.25, 2.0]]
            assert embedded.usage.input_tokens == 5
            assert embedded.provider_model == "vendor-model-2026"
        assert fake.connections == 1
        assert {asked.path for asked in fake.asked} == {"/v1/embeddings"}
        assert fake.asked[0].headers["accept"] == "application/json"
        assert (provider.load().running, provider.leases) == (0, 0)


async def test_many_large_vectors_come_whole() -> None:
    many = [[float(number)] * 1536 for number in range(256)]
    async with serving(openai_server.embeddings(*many)) as (provider, _):
        embedded = await embed(provider, spec(*map(str, range(256))))
        assert [list(one.values) for one in embedded.embeddings] == many
        assert (provider.load().running, provider.leases) == (0, 0)


async def test_another_key_embeds_unseen_and_the_try_is_told() -> None:
    def answer(asked: Asked) -> Script:
        return failing(401) if asked.key == KEYS[0] else openai_server.embeddings([1.0], [2.0])

    async with serving(answer, KEYS) as (provider, _):
        context = AttemptContext()
        await provider.embed(spec(), context)
    assert [(one.key, one.http_status) for one in context.tries] == [(0, 401)]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (failing(400, openai_server.error("no")), "PROVIDER_REJECTED"),
        (failing(429), "PROVIDER_RATE_LIMITED"),
        (failing(200, openai_server.error("no", code="rate_limit_exceeded")), "PROVIDER_RATE_LIMITED"),
        (failing(200, b"<html>"), "PROVIDER_MALFORMED"),
        (failing(200, b"{}", content_encoding="gzip"), "PROVIDER_MALFORMED"),
        (failing(200, b"[" + b" " * (65 << 20)), "PROVIDER_MALFORMED"),
        (Script(b'{"data"', cut_after=4, reset=True), "PROVIDER_UNAVAILABLE"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
async def test_each_failure_has_its_reason(script: Script, reason: str) -> None:
    async with serving(script) as (provider, _):
        assert (await failed(provider)).reason_name == reason
        assert (provider.load().running, provider.leases) == (0, 0)


@pytest.mark.parametrize(
    ("settings", "stage"),
    [({"first_token_seconds": 0.2}, "first_token"), ({"total_seconds": 0.2}, "total")],
    ids=["first_token", "total"],
)
@pytest.mark.parametrize("script", [Script(delay=30), Script(b'{"data', hang=True)], ids=["silent", "half"])
async def test_a_wait_is_bounded_and_says_what_it_was_for(
    script: Script, settings: dict[str, float], stage: str
) -> None:
    async with serving(script, **settings) as (provider, fake):
        failure = await failed(provider)
        assert failure.reason_name == "DEADLINE_EXCEEDED"
        assert failure.metadata["stage"] == stage
        await eventually(lambda: not fake.connections, seconds=1)


async def test_a_caller_that_leaves_closes_the_connection() -> None:
    async with serving(Script(b'{"data', hang=True)) as (provider, fake):
        task = asyncio.create_task(embed(provider))
        await eventually(lambda: bool(fake.busy), seconds=30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: not fake.connections, seconds=1)
        assert (provider.load().running, provider.leases) == (0, 0)
