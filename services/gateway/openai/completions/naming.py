"""What clients of this API call the fields that failures name."""

from services.chassis.failure import Failure

_PROMPT = ("prompt", "prompt.token_ids")
_NAMES = {"max_output_tokens": "max_tokens", "logprobs.top": "logprobs"}


def rename(failure: Failure, *, prompt: str) -> None:
    """Have a failure name its field as the client knows it; `prompt` is the path of the prompt that it is about."""
    field = failure.metadata.get("field", "")
    name = prompt if field in _PROMPT else _NAMES.get(field)
    if name is not None:
        failure.message = failure.message.replace(f"`{field}`", f"`{name}`")
        failure.metadata = {**failure.metadata, "field": name}
