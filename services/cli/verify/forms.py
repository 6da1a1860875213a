"""Features of the form of an answer, of thinking, and of fields beyond the contract."""

import json
from collections.abc import Sequence
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.cli.verify.asking import asking
from services.cli.verify.feature import Feature, unnamed_refusal
from services.cli.verify.seen import Seen
from services.cli.verify.texts import well_ended

_CHAT = model.CAPABILITY_CHAT
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "degrees": {"type": "integer"},
        "sky": {"type": "string", "enum": ["clear", "cloudy"]},
    },
    "required": ["city", "degrees", "sky"],
    "additionalProperties": False,
}
_OPTION = "prompt_cache_key"
_DENIED = "service_tier"


def _parsed(seen: Sequence[Seen]) -> Any:
    try:
        return json.loads(seen[0].text())
    except ValueError:
        return None


def _is_object(seen: Sequence[Seen]) -> str:
    return well_ended(seen) if isinstance(_parsed(seen), dict) else "the answer is no JSON object"


def _fits(seen: Sequence[Seen]) -> str:
    found = _parsed(seen)
    if not isinstance(found, dict) or set(found) != set(_SCHEMA["required"]):
        return "the answer does not have the members of the schema"
    fits = isinstance(found["city"], str) and type(found["degrees"]) is int and found["sky"] in ("clear", "cloudy")
    return well_ended(seen) if fits else "the members do not have the types of the schema"


def _thought(seen: Sequence[Seen]) -> str:
    (one,) = seen
    if not one.usage.reasoning_tokens and not one.reasoning:
        return "no thinking, and no tokens counted for it"
    return _apart(seen)


def _apart(seen: Sequence[Seen]) -> str:
    (one,) = seen
    if "391" not in one.text():
        return "the answer is not 391"
    if len(one.text()) > _SHORT_ANSWER:
        return "the answer is more than the number: thinking is part of it"
    if one.usage.reasoning_tokens > one.usage.output_tokens:
        return "more tokens of thinking than of output"
    return well_ended(seen)


def _taken_or_named(seen: Sequence[Seen]) -> str:
    failure = seen[0].failure
    if failure is None:
        return well_ended(seen)
    named = _OPTION in failure.message or _OPTION in failure.metadata.get("field", "")
    return "" if named else f"{failure.reason_name}, not naming the option: {failure.message}"


def _denied(seen: Sequence[Seen]) -> str:
    why = unnamed_refusal(seen)
    failure = seen[0].failure
    return why or ("" if failure and _DENIED in failure.metadata["field"] else "refused, but not naming the option")


_QUESTION = "What is the weather in Paris? Make it up: 21 degrees, clear. Answer in JSON with city, degrees and sky."
_HARD = "What is 17 times 23? Answer with the number alone."
_SHORT_ANSWER = 32
_OBJECT = generation.ResponseFormat(json_object=generation.JsonObjectFormat())
_MATCHING = generation.ResponseFormat(
    json_schema=generation.JsonSchemaFormat(name="weather", schema_json=json.dumps(_SCHEMA), strict=True)
)
_EFFORT = (_CHAT, model.CAPABILITY_REASONING_EFFORT)
_THINKING_TOKENS = 4096

FEATURES = (
    Feature(
        "json-object",
        "Any JSON object",
        (_CHAT, model.CAPABILITY_JSON_OBJECT),
        (asking(_QUESTION, response_format=_OBJECT),),
        _is_object,
    ),
    Feature(
        "json-schema",
        "JSON of a schema",
        (_CHAT, model.CAPABILITY_JSON_SCHEMA),
        (asking(_QUESTION, response_format=_MATCHING),),
        _fits,
    ),
    Feature(
        "effort",
        "Effort of reasoning",
        _EFFORT,
        (asking(_HARD, most=_THINKING_TOKENS, reasoning_effort="low"),),
        _apart,
    ),
    Feature(
        "reasoning",
        "Thinking kept apart, and counted",
        _EFFORT,
        (asking(_HARD, most=_THINKING_TOKENS, reasoning_effort="high"),),
        _thought,
    ),
    Feature(
        "option",
        "A field beyond the contract",
        (_CHAT, model.CAPABILITY_PROVIDER_OPTIONS),
        (asking("Say hello.", provider_options_json=json.dumps({_OPTION: "verify"})),),
        _taken_or_named,
        judges_failures=True,
    ),
    Feature(
        "option-denied",
        "A field that changes the price is refused by name",
        (_CHAT,),
        (asking("Say hello.", provider_options_json=json.dumps({_DENIED: "priority"})),),
        _denied,
        judges_failures=True,
    ),
)
