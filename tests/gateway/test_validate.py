"""What is refused before anything is placed."""

from collections.abc import Callable
from typing import Any

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import event, given
from hypothesis import strategies as st

from services.chassis import status
from services.chassis.failure import Failure
from services.gateway.validate import MAX_MESSAGES, MAX_STOPS, MAX_TOOLS, validate
from tests.fakes import spec
from tests.gateway.arbitrary import message

Spec = generation.GenerationSpec
Change = Callable[[Spec], object]

NAN, INFINITE = float("nan"), float("inf")


def part(made: Spec, **content: Any) -> None:
    """Put a part into the first message."""
    made.messages[0].parts.append(conversation.Part(**content))


def role(made: Spec, value: conversation.Role) -> None:
    made.messages[0].role = value


def tool(made: Spec, name: str = "f", **fields: str) -> None:
    made.tools.add(name=name, **fields)


def named(made: Spec) -> None:
    tool(made, "g")
    made.tool_choice.mode, made.tool_choice.name = conversation.TOOL_CHOICE_MODE_NAMED, "f"


def call_without_id(made: Spec) -> None:
    role(made, conversation.ROLE_ASSISTANT)
    part(made, tool_call=conversation.ToolCall(name="f"))


def result_without_id(made: Spec) -> None:
    made.messages.add(role=conversation.ROLE_TOOL).parts.add().tool_result.text = "x"


REFUSED: list[tuple[str, Change]] = [
    ("model", lambda made: made.ClearField("model")),
    ("model", lambda made: setattr(made, "model", "m" * 257)),
    ("messages", lambda made: made.ClearField("messages")),
    ("messages", lambda made: made.messages.extend([made.messages[0]] * MAX_MESSAGES)),
    ("messages[0].role", lambda made: made.messages[0].ClearField("role")),
    ("messages[0].role", lambda made: role(made, 99)),  # type: ignore[arg-type]
    ("messages[0].parts", lambda made: made.messages[0].ClearField("parts")),
    ("messages[0].parts[0]", lambda made: role(made, conversation.ROLE_TOOL)),
    ("messages[0].parts[1]", part),
    ("messages[0].parts[1]", lambda made: part(made, refusal="no")),
    ("messages[0].parts[1].tool_call.id", call_without_id),
    ("messages[1].parts[0].tool_result.tool_call_id", result_without_id),
    *[
        (f"sampling.{field}", lambda made, field=field, value=value: setattr(made.sampling, field, value))
        for field, values in {
            "temperature": (-0.1, 2.1, NAN, INFINITE),
            "top_p": (0, 1.1, -1, NAN),
            "top_k": (0, (1 << 20) + 1),
            "frequency_penalty": (-2.1, 2.1, NAN),
            "presence_penalty": (-2.1, -INFINITE),
        }.items()
        for value in values
    ],
    ("sampling.stop", lambda made: made.sampling.stop.extend(["x"] * (MAX_STOPS + 1))),
    ("sampling.stop", lambda made: made.sampling.stop.append("")),
    ("sampling.logit_bias[7]", lambda made: made.sampling.logit_bias.update({7: 101})),
    ("max_output_tokens", lambda made: setattr(made, "max_output_tokens", 0)),
    ("choices", lambda made: setattr(made, "choices", 0)),
    ("choices", lambda made: setattr(made, "choices", 17)),
    ("logprobs.top", lambda made: setattr(made.logprobs, "top", 21)),
    ("reasoning_effort", lambda made: setattr(made, "reasoning_effort", "hard")),
    ("tools", lambda made: [tool(made, f"f{number}") for number in range(MAX_TOOLS + 1)]),
    ("tools[0].name", lambda made: tool(made, "")),
    ("tools[0].name", lambda made: tool(made, "f\n")),
    ("tools[1].name", lambda made: [tool(made), tool(made)]),
    ("tools[0].parameters_json", lambda made: tool(made, parameters_json="[]")),
    ("tools[0].parameters_json", lambda made: tool(made, parameters_json="{")),
    ("tool_choice", named),
    ("tool_choice", lambda made: setattr(made.tool_choice, "mode", conversation.TOOL_CHOICE_MODE_REQUIRED)),
    ("tool_choice.mode", lambda made: setattr(made.tool_choice, "mode", 99)),
    ("response_format", lambda made: setattr(made.response_format.json_schema, "schema_json", "")),
    ("user", lambda made: setattr(made, "user", "u" * 513)),
    ("provider_options_json", lambda made: setattr(made, "provider_options_json", "[" * 100_000)),
    ("provider_options_json", lambda made: setattr(made, "provider_options_json", '{"a":' + "9" * 5000 + "}")),
    ("provider_options_json", lambda made: setattr(made, "provider_options_json", "null")),
]


@pytest.mark.parametrize(("field", "change"), REFUSED)
def test_a_refusal_names_the_field(field: str, change: Change) -> None:
    made = spec()
    validate(made)
    change(made)
    with pytest.raises(Failure) as caught:
        validate(made)
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert caught.value.metadata["field"] == field
    assert f"`{field}`" in caught.value.message


def prompted() -> Spec:
    return generation.GenerationSpec(model="m", prompt=generation.Prompt(text="hi"))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("prompt", lambda made: made.prompt.Clear()),
        ("prompt", lambda made: setattr(made.prompt, "text", "")),
        ("prompt", lambda made: made.prompt.token_ids.SetInParent()),
        ("prompt", lambda made: made.messages.add(role=conversation.ROLE_USER)),
        ("tools", tool),
        ("tool_choice", lambda made: setattr(made.tool_choice, "mode", conversation.TOOL_CHOICE_MODE_NONE)),
        ("parallel_tool_calls", lambda made: setattr(made, "parallel_tool_calls", False)),
        ("reasoning_effort", lambda made: setattr(made, "reasoning_effort", "low")),
        ("sampling.temperature", lambda made: setattr(made.sampling, "temperature", 3)),
    ],
)
def test_a_prompt_stands_alone_and_has_nothing_that_only_a_conversation_has(field: str, change: Change) -> None:
    made = prompted()
    validate(made)
    change(made)
    with pytest.raises(Failure) as caught:
        validate(made)
    assert caught.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert caught.value.metadata["field"] == field
    assert f"`{field}`" in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        lambda made: setattr(made.sampling, "temperature", 0),
        lambda made: setattr(made.sampling, "top_p", 1),
        lambda made: made.sampling.logit_bias.update({0: -100}),
        lambda made: made.sampling.stop.extend(["x"] * MAX_STOPS),
        lambda made: made.messages.add(role=conversation.ROLE_ASSISTANT),
        lambda made: tool(made, "f" * 64, parameters_json='{"type": "object"}'),
        lambda made: setattr(made.tool_choice, "mode", conversation.TOOL_CHOICE_MODE_NONE),
        lambda made: setattr(made.response_format.json_schema, "schema_json", "{}"),
        lambda made: setattr(made, "user", "u" * 512),
    ],
)
def test_the_edges_of_what_is_allowed_are_allowed(change: Change) -> None:
    made = spec()
    change(made)
    validate(made)


def test_a_prompt_may_be_token_ids_and_its_answer_have_a_form() -> None:
    made = prompted()
    made.prompt.token_ids.ids.append(0)
    made.response_format.json_schema.schema_json = "{}"
    validate(made)


JSON = st.one_of(
    st.just("{}"),
    st.text(max_size=8),
    st.recursive(st.just("{}"), lambda deeper: deeper.map(lambda inner: f'{{"a":{inner}}}')),
)


def refusal(made: Spec) -> Failure | None:
    try:
        validate(made)
    except Failure as failure:
        return failure
    return None


@given(message(Spec, model=st.just("m"), parameters_json=JSON, schema_json=JSON, provider_options_json=JSON))
def test_whatever_comes_is_well_formed_or_a_failure_that_can_travel(made: Spec) -> None:
    before = made.SerializeToString(deterministic=True)
    failure = refusal(made)
    if failure is not None:
        event(failure.metadata["field"].partition("[")[0])
        assert failure.reason == reasons.ERROR_REASON_SPEC_INVALID
        assert status.to_status(failure).code
    assert made.SerializeToString(deterministic=True) == before
