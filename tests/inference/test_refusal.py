"""What a caller is told whose request no provider can do."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.inference.refusal import name_field, unsupported

NEEDS = {model.CAPABILITY_CHAT: "messages", model.CAPABILITY_PROVIDER_OPTIONS: "provider_options_json.min_p"}


def test_a_refusal_by_capability_is_made_to_name_the_callers_field() -> None:
    refused = unsupported(model.CAPABILITY_PROVIDER_OPTIONS, "provider_options_json", name="m", provider="a, b")
    name_field(refused, NEEDS)
    assert refused.metadata["field"] == "provider_options_json.min_p"
    assert refused.message.startswith("`provider_options_json.min_p` is not supported by a, b for the model `m`")


@pytest.mark.parametrize(
    ("capability", "cannot"),
    [
        (model.CAPABILITY_CHAT, "chat"),
        (model.CAPABILITY_EMBEDDINGS, "embed"),
        (model.CAPABILITY_COMPLETIONS, "complete prompts (asked of p); use chat"),
    ],
)
def test_a_model_for_something_else_is_the_model_that_is_wrong(capability: "model.Capability", cannot: str) -> None:
    refused = unsupported(capability, "messages", name="m", provider="p")
    name_field(refused, NEEDS)
    assert refused.metadata["field"] == "model"
    assert f"The model `m` cannot {cannot}" in refused.message


def test_a_caller_who_sends_token_ids_in_vain_is_told_to_send_text() -> None:
    refused = unsupported(model.CAPABILITY_TOKEN_INPUTS, "prompt.token_ids", name="m", provider="p")
    assert refused.message.endswith("not supported by p for the model `m`; send text or choose another model.")


def test_other_failures_stay_as_they_are() -> None:
    for reason, told in ((reasons.ERROR_REASON_UNSUPPORTED, {"field": "f"}), (reasons.ERROR_REASON_SPEC_INVALID, {})):
        failure = Failure(reason, "said", metadata=told)
        name_field(failure, NEEDS)
        assert (failure.message, failure.metadata) == ("said", told)
