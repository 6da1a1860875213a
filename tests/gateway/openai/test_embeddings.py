"""POST /v1/embeddings, both directions."""

import array
import base64
import json
import math
from typing import Any

import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.failure import Failure
from services.gateway.openai.embeddings.request import parse_embedding
from services.gateway.openai.embeddings.response import pieces

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
TOKENS = st.lists(st.integers(0, (1 << 32) - 1), min_size=1)
VECTORS = st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), min_size=1)


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "input": "x", **members}).encode()


def inputs(value: Any) -> list[Any]:
    """The inputs of a request, as plain values."""
    spec = parse_embedding(body(input=value)).spec
    return [item.text if item.HasField("text") else list(item.token_ids.ids) for item in spec.inputs]


def rendered(vectors: list[list[float]], *, in_base64: bool, tokens: int = 3) -> dict[str, Any]:
    answer = worker.EmbedResponse(
        embeddings=[embedding.Embedding(values=values) for values in vectors],
        usage=generation.Usage(input_tokens=tokens),
    )
    whole: dict[str, Any] = json.loads(b"".join(pieces(answer, model="m", in_base64=in_base64)))
    return whole


@given(TEXTS)
def test_a_text_is_one_input(text: str) -> None:
    assert inputs(text) == [text]


@given(st.lists(TEXTS, min_size=1))
def test_texts_are_inputs_in_their_order(texts: list[str]) -> None:
    assert inputs(texts) == texts


@given(TOKENS)
def test_token_ids_are_one_input(ids: list[int]) -> None:
    assert inputs(ids) == [ids]


@given(st.lists(TOKENS, min_size=1))
def test_lists_of_token_ids_are_inputs_in_their_order(lists: list[list[int]]) -> None:
    assert inputs(lists) == lists


def test_the_rest_of_a_request_is_read_and_nulls_are_absent() -> None:
    asked = parse_embedding(body(dimensions=7, user="u", encoding_format="base64"))
    assert (asked.spec.dimensions, asked.spec.user, asked.in_base64) == (7, "u", True)
    plain = parse_embedding(body(dimensions=None, user=None, encoding_format=None))
    assert not plain.spec.HasField("dimensions")
    assert not plain.in_base64


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"input": None}, "input"),
        ({"input": 1}, "input"),
        ({"input": {}}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [1, 2.5]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [1, True]}, "input[1]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [1 << 32]}, "input[0]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [[1], [2, "a"]]}, "input[1][1]"),
        ({"input": [[1], [[2]]]}, "input[1][0]"),
        ({"input": [{}]}, "input[0]"),
        ({"dimensions": "7"}, "dimensions"),
        ({"dimensions": -1}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"user": 1}, "user"),
    ],
)
def test_a_mistake_is_named(members: dict[str, Any], field: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_embedding(body(**members))
    assert (caught.value.reason_name, caught.value.metadata["field"]) == ("SPEC_INVALID", field)
    assert f"`{field}`" in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_whatever_the_input_it_is_read_or_refused(value: Any) -> None:
    try:
        parse_embedding(body(input=value))
    except Failure as failure:
        assert failure.reason_name == "SPEC_INVALID"  # noqa: PT017 (either is fine, nothing else is)


@given(VECTORS, st.booleans())
def test_every_vector_arrives_as_it_was(vectors: list[list[float]], in_base64: bool) -> None:
    whole = rendered(vectors, in_base64=in_base64)
    assert [item["index"] for item in whole["data"]] == list(range(len(vectors)))
    for item, values in zip(whole["data"], vectors, strict=True):
        got = item["embedding"]
        if in_base64:
            got = array.array("f", base64.b64decode(got)).tolist()
        assert got == values


def test_the_shape_is_openais() -> None:
    assert rendered([[0.5]], in_base64=False) == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_a_large_answer_goes_out_in_pieces() -> None:
    answer = worker.EmbedResponse(embeddings=[embedding.Embedding(values=[0.1] * 3072)] * 100)
    made = list(pieces(answer, model="m", in_base64=True))
    assert len(made) > 4
    assert max(map(len, made)) < 400_000
    assert len(json.loads(b"".join(made))["data"]) == 100


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_not_passed_off_as_one(value: float) -> None:
    with pytest.raises(Failure) as caught:
        rendered([[1.0, value]], in_base64=False)
    assert caught.value.reason_name == "PROVIDER_MALFORMED"


def test_what_is_not_known_is_for_the_provider_to_judge() -> None:
    asked = parse_embedding(b'{"model": "m", "input": "x", "truncate": "END", "user": null, "n": 1}')
    assert json.loads(asked.spec.provider_options_json) == {"truncate": "END", "n": 1}
    assert not parse_embedding(b'{"model": "m", "input": "x"}').spec.provider_options_json


def test_a_token_id_that_is_written_with_a_point_is_one() -> None:
    assert inputs([1.0, 2]) == [[1, 2]]
