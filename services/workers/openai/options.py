"""Fields that the contract does not have: passed on untouched, but for those that would do harm."""

import json
from typing import Any

import orjson
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.openai import failures

# What the spec says itself. An option of that name would get past validation, routing and the ledger.
_OF_THE_SPEC = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "user"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "stop", "seed"}
    | {"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "logit_bias"}
    | {"logprobs", "top_logprobs", "functions", "function_call", "safety_identifier"}
    | {"input", "encoding_format", "dimensions"}
)
_PRICE = "it changes the price"
_TAKEOVER = "it reaches into the server"
_MEDIA = "answers are text"
_CACHE = "caches are kept apart by the mesh"
_CHOICE = "the mesh chooses the model and its provider"
_NAME = "the mesh names requests"
_KEPT = "nothing of a request is kept"
_DENIED = {
    # What usage does not show, so that it cannot be charged: better service, searches, writes to a cache, more answers
    # than are told.
    "service_tier": _PRICE,
    "speed": _PRICE,
    "web_search_options": _PRICE,
    "plugins": _PRICE,
    "prompt_cache_options": _PRICE,
    "cache_control": _PRICE,
    "best_of": _PRICE,
    "use_beam_search": _PRICE,
    # OpenRouter's, and those of a LiteLLM proxy, which would take our key elsewhere.
    "models": _CHOICE,
    "route": _CHOICE,
    "provider": _CHOICE,
    "preset": _CHOICE,
    "fallbacks": _CHOICE,
    "context_window_fallbacks": _CHOICE,
    "content_policy_fallbacks": _CHOICE,
    "api_base": _CHOICE,
    "base_url": _CHOICE,
    "api_key": _CHOICE,
    "user_config": _CHOICE,
    "custom_llm_provider": _CHOICE,
    "extra_headers": _TAKEOVER,
    "store": _KEPT,
    "prompt_cache_retention": _KEPT,
    "audio": _MEDIA,
    "modalities": _MEDIA,
    "prompt_embeds": _TAKEOVER,
    "input_embeds": _TAKEOVER,
    "cache_salt": _CACHE,
    "extra_key": _CACHE,  # SGLang's name for it
    "logits_processors": _TAKEOVER,
    "custom_logit_processor": _TAKEOVER,
    "custom_params": _TAKEOVER,
    "kv_transfer_params": _TAKEOVER,
    "ec_transfer_params": _TAKEOVER,
    "mm_processor_kwargs": _TAKEOVER,
    "media_io_kwargs": _TAKEOVER,
    "vllm_xargs": _TAKEOVER,
    "lora_path": _TAKEOVER,
    "session_params": _TAKEOVER,
    "bootstrap_host": _TAKEOVER,
    "bootstrap_port": _TAKEOVER,
    "bootstrap_room": _TAKEOVER,
    "data_parallel_rank": _TAKEOVER,
    "routed_dp_rank": _TAKEOVER,
    "disagg_prefill_dp_rank": _TAKEOVER,
    "priority": "requests are not put before others",
    "request_id": _NAME,
    "rid": _NAME,
}
_DENIED_BEGINNINGS = ("chat_template",)


def passed_on(text: str) -> dict[str, object]:
    """The provider options, ready for orjson.

    Raises:
        Failure: UNSUPPORTED, naming an option that is denied; SPEC_INVALID, where the text is no JSON object.
    """
    if not text:
        return {}
    options = _read(text)
    for name in options:
        _check(name, "provider_options_json")
    inner = options.get("extra_body")
    for name in inner if isinstance(inner, dict) else ():  # proxies make options of these, too
        _check(name, "provider_options_json.extra_body")
    try:
        # orjson would round large integers, and writes no more than 254 levels.
        return {name: orjson.Fragment(json.dumps(value, allow_nan=False)) for name, value in options.items()}
    except (ValueError, RecursionError):
        raise _unreadable() from None


def _read(text: str) -> dict[str, Any]:
    try:
        orjson.loads(text)  # stricter: no NaN
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise _unreadable()
    return options


def _unreadable() -> Failure:
    return Failure(
        reasons.ERROR_REASON_SPEC_INVALID,
        "`provider_options_json` must be a JSON object.",
        field="provider_options_json",
    )


def _check(name: str, path: str) -> None:
    field = f"{path}.{name}"
    if name in _OF_THE_SPEC:
        raise failures.unsupported(field, "the request has a field of its own for it")
    why = _DENIED.get(name) or (_TAKEOVER if name.startswith(_DENIED_BEGINNINGS) else "")
    if why:
        raise failures.unsupported(field, why)
