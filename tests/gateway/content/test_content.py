"""What is kept of a generation is what its key's policy says, and no more than there is room for."""

import hashlib
import json
from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.deadline import Deadline
from services.gateway.call import Call
from services.gateway.content.capture import MOST_BYTES
from services.gateway.content.hashing import Hasher
from services.gateway.content.hearing import Heard
from services.gateway.content.policy import content_record
from services.gateway.identity.grant import Content, Grant
from tests.fakes import delta, finished, started

HASHER = Hasher(b"k" * 32)
MAIL = "ada@example.org"


def call(spec: Any, policy: Content, *, key_id: str = "k") -> Call[Any]:
    grant = Grant(key_id=key_id, owner="o", content=policy, content_retention_days=7)
    return Call(spec=spec, api="inference", streamed=True, deadline=Deadline(None), grant=grant)


def asking(*texts: str) -> generation.GenerationSpec:
    parts = [conversation.Part(text=text) for text in texts]
    return generation.GenerationSpec(
        model="m", messages=[conversation.Message(role=conversation.ROLE_USER, parts=parts)]
    )


def heard(*events: generation.GenerationEvent) -> Heard:
    made = Heard()
    for event in events:
        made.hear([event])
    return made


def kept(spec: Any, policy: Content = "stored", said: Heard | None = None) -> tuple[Any, Any]:
    record = content_record("g", call(spec, policy), said or Heard(), HASHER)
    assert (record.generation_id, record.key_id, record.policy, record.retention_days) == ("g", "k", policy, 7)
    return json.loads(record.input), json.loads(record.output)


def test_what_is_stored_is_the_spec_by_the_names_of_its_fields() -> None:
    spec = asking("hi")
    spec.messages[0].parts.add().tool_result.text = "x"
    spec.sampling.temperature = 0.5
    spec.sampling.logit_bias.update({7: 1.0, 3: -1.0})
    spec.tool_choice.mode = conversation.TOOL_CHOICE_MODE_AUTO
    spec.max_output_tokens = 0
    assert kept(spec)[0] == {
        "model": "m",
        "messages": [{"role": "user", "parts": [{"text": "hi"}, {"tool_result": {"text": "x"}}]}],
        "tool_choice": {"mode": "auto"},
        "sampling": {"temperature": 0.5, "logit_bias": {"3": -1.0, "7": 1.0}},
        "max_output_tokens": 0,
    }


def test_an_answer_is_folded_with_all_its_choices_calls_and_thoughts() -> None:
    call_begins = generation.ToolCallDelta(index=0, id="c", name="f", arguments_json='{"a":')
    said = heard(
        started(),
        delta("a"),
        generation.GenerationEvent(delta=generation.Delta(choice=1, text="z", reasoning="hm", refusal="no")),
        generation.GenerationEvent(delta=generation.Delta(tool_calls=[call_begins])),
        generation.GenerationEvent(
            delta=generation.Delta(text="b", tool_calls=[generation.ToolCallDelta(index=0, arguments_json="1}")])
        ),
        finished(),
    )
    assert kept(asking("hi"), said=said)[1] == {
        "choices": [
            {"index": 0, "text": "ab", "tool_calls": [{"id": "c", "name": "f", "arguments_json": '{"a":1}'}]},
            {"index": 1, "text": "z", "reasoning": "hm", "refusal": "no"},
        ]
    }


def test_bytes_are_kept_as_size_and_digest_only() -> None:
    spec = asking()
    spec.messages[0].parts.add().image.data = b"picture"
    spec.messages[0].parts.add().image.url = "data:image/png;base64,cGljdHVyZQ=="
    spec.messages[0].parts.add().image.url = "https://host.example/p.png"
    data, by_value, address = (part["image"] for part in kept(spec)[0]["messages"][0]["parts"])
    assert data == {"data": {"bytes": 7, "digest": f"sha256:{hashlib.sha256(b'picture').hexdigest()}"}}
    assert by_value["url"]["bytes"] == 34
    assert address == {"url": "https://host.example/p.png"}
    redacted = kept(spec, "redacted")[0]["messages"][0]["parts"][0]["image"]["data"]["digest"]
    assert redacted.startswith("hmac-sha256:")  # a known picture would be known by a hash without a key


def test_what_is_redacted_is_redacted_in_every_text_on_both_sides() -> None:
    spec = asking(f"I am {MAIL}")
    spec.messages[0].name = MAIL
    spec.messages.add(
        role=conversation.ROLE_ASSISTANT
    ).parts.add().tool_call.arguments_json = '{"to": "ada\\u0040example.org", "password": "swordfish"}'
    spec.tools.add(name="f", description=MAIL, parameters_json=json.dumps({"title": MAIL}))
    spec.response_format.json_schema.schema_json = json.dumps({"const": MAIL})
    spec.sampling.stop.append(MAIL)
    spec.provider_options_json = json.dumps({"p": {MAIL: MAIL}})
    spec.user = MAIL
    spec.prompt.token_ids.ids.extend([1, 2, 3])
    piece = generation.Delta(
        text=f"to {MAIL}",
        reasoning=MAIL,
        refusal=MAIL,
        token_ids=[9],
        logprobs=[generation.TokenLogprob(token=MAIL)],
        tool_calls=[generation.ToolCallDelta(id=MAIL, name=MAIL, arguments_json=json.dumps([MAIL]))],
    )
    record = content_record("g", call(spec, "redacted"), heard(generation.GenerationEvent(delta=piece)), HASHER)
    assert "ada" not in record.input + record.output
    assert "swordfish" not in record.input
    assert json.loads(record.input)["prompt"] == {"token_ids": {"tokens": 3}}
    [choice] = json.loads(record.output)["choices"]
    assert (choice["text"], choice["tool_calls"][0]["arguments_json"]) == ("to [email]", '["[email]"]')


def test_a_secret_that_came_in_pieces_is_taken_out() -> None:
    said = heard(*(delta(character) for character in f"write to {MAIL}!"))
    assert kept(asking("hi"), "redacted", said)[1]["choices"][0]["text"] == "write to [email]!"


def test_hashes_are_equal_for_the_same_words_of_the_same_key_alone() -> None:
    def hashed(text: str, *, key_id: str = "k", answer: str = "a") -> tuple[str, str]:
        made = content_record("g", call(asking(text), "hashed", key_id=key_id), heard(delta(answer)), HASHER)
        return made.input, made.output

    assert hashed("hi") == hashed("hi")
    assert hashed("hi")[0] != hashed("ho")[0]
    assert hashed("hi")[1] != hashed("hi", answer="b")[1]
    assert not set(hashed("hi")) & set(hashed("hi", key_id="l"))
    assert all(len(each) == len("hmac-sha256:") + 64 for each in hashed("hi"))
    longest = "x" * 2 * MOST_BYTES
    assert hashed(longest + "a")[0] != hashed(longest + "b")[0]


@pytest.mark.parametrize("character", ["x", "é", "\x01", "\U0001f600", '"'])
@pytest.mark.parametrize("policy", ["stored", "redacted"])
def test_both_sides_are_bounded_and_what_is_cut_says_so(character: str, policy: Content) -> None:
    said = heard(*(delta(character * 1000) for _ in range(1000)))
    record = content_record("g", call(asking("first", character * 2 * MOST_BYTES, "last"), policy), said, HASHER)
    for text in (record.input, record.output):
        assert len(text.encode()) < MOST_BYTES + 1000
        assert json.loads(text)["cut"] is True
        assert text.count(json.dumps(character, ensure_ascii=False)[1:-1]) > 5000
    assert "first" in record.input


def test_many_small_things_are_bounded_too() -> None:
    spec = asking(*["x"] * 100_000)
    spec.prompt.token_ids.ids.extend(range(100_000))
    record = content_record("g", call(spec, "stored"), Heard(), HASHER)
    assert len(record.input) < 2 * MOST_BYTES
    assert json.loads(record.input)["cut"] is True


def test_half_of_a_number_at_the_cut_is_not_kept() -> None:
    for before in range(30):
        text = "x " * (MOST_BYTES // 2 - 100 - before) + "4111 1111 1111 1111 " * 20
        assert "4111" not in content_record("g", call(asking(text), "redacted"), Heard(), HASHER).input


def test_of_an_embedding_the_inputs_are_kept_and_no_vectors() -> None:
    said = Heard()
    said.vectors = (2, 3)
    spec = embedding.EmbeddingSpec(model="m", inputs=[embedding.EmbeddingInput(text=MAIL)])
    spec.inputs.add().token_ids.ids.extend([1, 2])
    assert kept(spec, "stored", said) == (
        {"model": "m", "inputs": [{"text": MAIL}, {"token_ids": {"ids": [1, 2]}}]},
        {"embeddings": 2, "dimensions": 3},
    )
    assert kept(spec, "redacted", said)[0]["inputs"] == [{"text": "[email]"}, {"token_ids": {"tokens": 2}}]


def test_a_policy_of_a_newer_peer_keeps_no_more_than_a_redacted_text() -> None:
    grant = Grant(key_id="k", owner="o", content="unheard-of")  # type: ignore[arg-type]
    made = Call(spec=asking(MAIL), api="inference", streamed=True, deadline=Deadline(None), grant=grant)
    assert MAIL not in content_record("g", made, Heard(), HASHER).input
