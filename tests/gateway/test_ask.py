"""What the router is told."""

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.router.v1 import placement_pb2 as placement
from hypothesis import given

from services.chassis.deadline import Deadline
from services.gateway.ask import Spec, estimated_tokens
from services.gateway.ask import placement_ask as ask_of
from services.gateway.call import Call
from services.inference.capabilities import needs_of
from tests.fakes import spec
from tests.gateway.arbitrary import message

SECRET = "s3cr3t"


def placement_ask(generation_id: str, made: Spec, time_left: float | None) -> placement.PlacementAsk:
    call = Call(spec=made, api="inference", streamed=False, deadline=Deadline(None), secret=b"key")
    return ask_of(generation_id, call, needs_of(made), time_left)


def test_the_router_learns_the_size_and_the_needs_but_never_the_text() -> None:
    made = spec(script=SECRET, text=SECRET * 100)
    made.max_output_tokens = 7
    made.sampling.stop.append(SECRET)
    made.tools.add(name=SECRET, parameters_json=f'{{"{SECRET}":1}}')
    ask = placement_ask("g", made, 2.5)
    assert SECRET.encode() not in ask.SerializeToString()
    assert (ask.generation_id, ask.model, ask.max_output_tokens) == ("g", "scripted", 7)
    assert 150 <= ask.input_tokens <= 200
    assert ask.time_left.ToMilliseconds() == 2500
    assert set(ask.capabilities) == {model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS, model.CAPABILITY_STOP}


def test_no_deadline_is_no_time_left_and_a_passed_one_is_zero() -> None:
    assert not placement_ask("g", spec(), None).HasField("time_left")
    passed = placement_ask("g", spec(), 0.0)
    assert passed.HasField("time_left")
    assert passed.time_left.ToNanoseconds() == 0


def test_a_picture_counts_as_one_whatever_its_bytes() -> None:
    small, large = spec(), spec()
    for made, size in ((small, 10), (large, 10 << 20)):
        made.messages[0].parts.append(conversation.Part(image=conversation.Image(data=b"x" * size)))
    assert estimated_tokens(small) == estimated_tokens(large) > 500


def test_a_prompt_is_estimated_by_its_bytes_or_counted_by_its_token_ids() -> None:
    text = generation.GenerationSpec(model="m", prompt=generation.Prompt(text="é" * 8))
    assert estimated_tokens(text) == 4
    ids = generation.GenerationSpec(model="m", prompt=generation.Prompt(token_ids={"ids": [7] * 9}))
    assert estimated_tokens(ids) == 9
    assert list(placement_ask("g", text, None).capabilities) == [model.CAPABILITY_COMPLETIONS]


@given(message(generation.GenerationSpec))
def test_every_spec_can_be_asked_for(made: generation.GenerationSpec) -> None:
    assert placement_ask("g", made, 1.0).model == made.model
