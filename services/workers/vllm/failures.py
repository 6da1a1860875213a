"""What the engine raises, as failures that somebody can act on."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.vllm.compat import Errors

# The engine's names for fields of the spec. Its messages often begin with one where they do not name it apart.
_FIELDS = {
    "n": "choices",
    "max_tokens": "max_output_tokens",
    "logprobs": "logprobs",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "seed": "sampling.seed",
    "stop": "sampling.stop",
    "logit_bias": "sampling.logit_bias",
    "frequency_penalty": "sampling.frequency_penalty",
    "presence_penalty": "sampling.presence_penalty",
    "structured_outputs": "response_format",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "reasoning_effort": "reasoning_effort",
    "dimensions": "dimensions",
}
_OPTIONS = ("min_p", "repetition_penalty", "min_tokens", "stop_token_ids", "bad_words", "allowed_token_ids")
_TOO_LONG = ("input_tokens", "input_text")


def lost() -> Failure:
    """The engine is gone, and this process with it."""
    return Failure(reasons.ERROR_REASON_WORKER_LOST, "The engine of this worker is gone.")


def failed() -> Failure:
    """The engine failed one request."""
    return Failure(reasons.ERROR_REASON_ENGINE_FAILED, "The engine failed to serve this request.")


def saturated() -> Failure:
    """The engine has as much to do as it takes in."""
    return Failure(reasons.ERROR_REASON_WORKER_SATURATED, "This worker is full; try again soon.", retry_after=1.0)


def invalid(field: str, message: str) -> Failure:
    """A field of the spec cannot be used."""
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, message, field=field)


def unsupported(field: str, message: str, *, model: str) -> Failure:
    """A field of the spec is none that a vllm worker takes."""
    return Failure(reasons.ERROR_REASON_UNSUPPORTED, message, field=field, model=model, provider="vllm")


def too_long(field: str, message: str, *, model: str) -> Failure:
    """Prompt and answer do not fit the model."""
    return Failure(reasons.ERROR_REASON_CONTEXT_TOO_LONG, message, field=field, model=model)


def from_engine(error: Exception, errors: Errors, *, model: str, field: str, prompt: str = "messages") -> Failure:
    """The failure behind an exception of the engine.

    Args:
        error: the exception.
        errors: the engine's.
        model: what was asked for.
        field: what is at fault where the engine does not tell.
        prompt: which field the prompt was made of.
    """
    if isinstance(error, errors.dead):
        return lost()
    if isinstance(error, errors.full):
        return saturated()
    if not isinstance(error, errors.invalid):
        return failed()
    # Its text alone: str() adds the value that was rejected.
    message = str(error.args[0]) if error.args else "The request cannot be served."
    parameter = getattr(error, "parameter", None) or message.partition(" ")[0]
    if parameter in _TOO_LONG:
        return too_long(prompt, message, model=model)
    if parameter in _OPTIONS:
        return invalid(f"provider_options_json.{parameter}", message)
    return invalid(_FIELDS.get(parameter, field), message)
