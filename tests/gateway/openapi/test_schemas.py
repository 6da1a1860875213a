"""The schemas of the OpenAI face and its codecs, held to each other by a validator that is not ours."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.chassis.failure import Failure
from services.gateway.fold import Fold
from services.gateway.openai import errors, members, models
from services.gateway.openai.chat import schema as chat
from services.gateway.openai.chat.request import parse_chat
from services.gateway.openai.chat.response import ChatChunks, completion
from services.gateway.openai.completions import schema as completions
from services.gateway.openai.completions.request import parse_completion
from services.gateway.openai.completions.response import CompletionChunks
from services.gateway.openai.completions.response import completion as text_completion
from services.gateway.openai.embeddings import schema as embeddings
from services.gateway.openai.embeddings.request import parse_embedding
from services.gateway.openai.embeddings.response import pieces
from services.gateway.openai.fields import Fields
from services.gateway.openai.responses import schema as responses
from services.gateway.openai.responses.echo import echo
from services.gateway.openai.responses.events import ResponseEvents
from services.gateway.openai.responses.params import Params
from services.gateway.openai.responses.request import parse_response
from services.gateway.openai.responses.response import Response
from services.gateway.openai.responses.whole import Whole
from services.gateway.validate import validate, validate_embedding
from tests.gateway import arbitrary
from tests.gateway.openapi.fitting import Schema, changed, fitting

pytestmark = pytest.mark.slow

PATIENT = settings(
    deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate, Phase.shrink]
)

# What a schema cannot say: words of the refusals that a body may earn which fits it.
SEMANTIC = re.compile(
    "is given twice|must be 1 to 64|at most 128 tools|not among the tools|requires a tool|at least one message|"
    "needs `logprobs`|two names of one limit|must equal `n`|cannot go with `logprobs`|needs prompts of text|"
    "valid base64|must be a data: URL|is too much for"
)


def read_chat(body: bytes) -> None:
    validate(parse_chat(body).spec)


def read_embedding(body: bytes) -> None:
    validate_embedding(parse_embedding(body).spec)


def read_completion(body: bytes) -> None:
    for spec in parse_completion(body).specs:
        validate(spec)


def read_response(body: bytes) -> None:
    asked = parse_response(body)
    try:
        validate(asked.spec)
    except Failure as failure:
        failure.metadata["field"] = asked.params.of(failure.metadata["field"])
        raise


# How each is read, what of, and what its callers call a field of the spec.
CODECS = {
    "chat": (read_chat, chat.REQUEST, errors.param_of),
    "completions": (read_completion, completions.REQUEST, errors.param_of),
    "responses": (read_response, responses.REQUEST, str),
    "embeddings": (read_embedding, embeddings.REQUEST, errors.param_of),
}
EACH = pytest.mark.parametrize(("read", "schema", "param_of"), CODECS.values(), ids=CODECS)
Read = Callable[[bytes], None]


def refusal(read: Read, body: Any) -> Failure | None:
    try:
        read(json.dumps(body).encode())
    except Failure as failure:
        return failure
    return None


@EACH
def test_what_fits_the_schema_is_never_refused_for_its_shape(
    read: Read, schema: Schema, param_of: errors.ParamOf
) -> None:
    @settings(PATIENT)
    @given(fitting(schema))
    def holds(body: Any) -> None:
        failure = refusal(read, body)
        assert failure is None or SEMANTIC.search(failure.message), failure

    holds()


@EACH
def test_what_breaks_the_schema_is_refused_by_name(read: Read, schema: Schema, param_of: errors.ParamOf) -> None:
    judge = Draft202012Validator(schema)

    @settings(PATIENT, max_examples=200)
    @given(changed(schema))
    def holds(change: tuple[Any, Any, tuple[str | int, ...]]) -> None:
        right, wrong, path = change
        assume(not judge.is_valid(wrong) and refusal(read, right) is None)
        failure = refusal(read, wrong)
        assert failure is not None, (path, wrong)
        assert failure.reason == reasons.ERROR_REASON_SPEC_INVALID
        named = steps(param_of(failure.metadata["field"]))
        # A top-level field by its name; what is inside by it, by what holds it, or by what is missing beside it.
        held = tuple(map(str, path[: max(1, len(path) - 1)]))
        shorter = min(len(named), len(held))
        assert named
        assert named[:shorter] == held[:shorter], (path, failure)

    holds()


def steps(field: str) -> tuple[str, ...]:
    return tuple(step for step in re.split(r"[.\[\]]", field) if step)


def valid(schema: Schema, data: bytes | str) -> None:
    Draft202012Validator(schema).validate(json.loads(data))


def said(stream: bytes) -> list[str]:
    """The JSON of a stream's events, of which the last says that it is done."""
    lines = [line.removeprefix("data: ") for line in stream.decode().split("\n") if line]
    assert lines.pop() == "[DONE]"
    return lines


# What a worker that keeps to the contract may send: choices from 0, tokens with a name, ends with a reason.
SMALL = st.integers(0, 2)
EVENTS = st.lists(arbitrary.message(generation.Delta, choice=SMALL, index=SMALL, tokens=SMALL), max_size=6).map(
    lambda deltas: [generation.GenerationEvent(delta=delta) for delta in deltas]
)
FINISHED = arbitrary.message(generation.Finished, reasons=st.sampled_from(generation.FinishReason.values()[1:]))


@settings(PATIENT)
@given(events=EVENTS, finished=FINISHED, include_usage=st.booleans())
def test_every_chunk_of_a_chat_fits_its_schema(events: Any, finished: Any, include_usage: bool) -> None:
    chunks = ChatChunks(completion_id="chatcmpl-1", created=1, model="m", include_usage=include_usage)
    finished.reasons[:] = finished.reasons or [generation.FINISH_REASON_STOP]
    for piece in said(chunks.write([*events, generation.GenerationEvent(finished=finished)])):
        valid(chat.CHUNK, piece)


@settings(PATIENT)
@given(events=EVENTS, finished=FINISHED)
def test_every_whole_chat_fits_its_schema(events: Any, finished: Any) -> None:
    finished.reasons[:] = (list(finished.reasons) + [generation.FINISH_REASON_STOP] * 3)[:3]
    fold = Fold()
    fold.take([*events, generation.GenerationEvent(finished=finished)])
    valid(chat.RESPONSE, completion(fold.whole(), completion_id="chatcmpl-1", created=1, model="m"))


@settings(PATIENT)
@given(events=EVENTS, finished=FINISHED, include_usage=st.booleans())
def test_every_piece_of_a_completion_and_every_whole_one_fits_its_schema(
    events: Any, finished: Any, include_usage: bool
) -> None:
    finished.reasons[:] = (list(finished.reasons) + [generation.FINISH_REASON_STOP] * 3)[:3]
    whole = [*events, generation.GenerationEvent(finished=finished)]
    head = {"completion_id": "cmpl-1", "created": 1, "model": "m", "choices": 3, "echoed": ["Once"]}
    for piece in said(CompletionChunks(include_usage=include_usage, **head).write(0, whole)):
        valid(completions.CHUNK, piece)
    fold = Fold()
    fold.take(whole)
    valid(completions.RESPONSE, text_completion([fold.whole()], **head))


@settings(PATIENT)
@given(
    events=st.lists(arbitrary.message(generation.Delta, choice=st.just(0), index=SMALL), max_size=6),
    finished=FINISHED,
    fails=st.booleans(),
)
def test_every_event_of_a_response_and_every_whole_one_fits_its_schema(events: Any, finished: Any, fails: bool) -> None:
    asked = echo(Fields({"model": "m", "input": "hi"}, ""))
    response = Response(identity="1", created=1, model="m", echo=asked, grouped={})
    finished.reasons[:] = [*finished.reasons, generation.FINISH_REASON_STOP][:1]
    deltas = [generation.GenerationEvent(delta=delta) for delta in events]
    ended = [*deltas, generation.GenerationEvent(finished=finished)]
    written = ResponseEvents(response)
    failure = Failure(reasons.ERROR_REASON_WORKER_LOST, "Why.")
    stream = written.write(deltas) + written.failed(failure, Params().of) + b"[DONE]" if fails else written.write(ended)
    for piece in said(stream):
        if not piece.startswith("event: "):
            valid(responses.EVENT, piece)
    whole = Whole(response)
    whole.take(ended)
    valid(responses.RESPONSE, whole.body(now=2))


@settings(PATIENT)
@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=4), max_size=3),
    st.booleans(),
)
def test_every_answer_of_vectors_fits_its_schema(vectors: list[list[float]], in_base64: bool) -> None:
    answer = worker.EmbedResponse(embeddings=[embedding.Embedding(values=values) for values in vectors])
    valid(embeddings.RESPONSE, b"".join(pieces(answer, model="m", in_base64=in_base64)))


@settings(PATIENT)
@given(st.lists(arbitrary.message(model_pb2.Model), max_size=3))
def test_models_fit_their_schema(all_of_them: list[model_pb2.Model]) -> None:
    valid(members.MODELS, models.listed(all_of_them))
    for one in all_of_them:
        valid(members.MODEL, models.shown(one))


@pytest.mark.parametrize("reason", reasons.ErrorReason.values())
def test_every_error_fits_its_schema(reason: Any) -> None:
    for fields in ({}, {"field": "sampling.seed"}):
        valid(members.ERROR, errors.render(Failure(reason, "Why.", **fields)).body)
