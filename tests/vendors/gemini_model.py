"""A model behind the Gemini API; what the API itself would refuse, `gemini_server` refuses."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.vendors.gemini_server import (
    Asked,
    Script,
    call,
    error,
    failing,
    piece,
    signature,
    sse,
    text,
    thought,
    usage,
    vectors,
)
from tests.vendors.mind import Answer, Mind, Wish, vector

DIMENSIONS = 3072
# An answer that somebody may want to leave takes its time.
_SLOW = 40
_SECONDS = 0.03
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_HELLO = sse(piece({"text": "Hello"}))
FAULTS: dict[str, Script] = {
    "rejected": failing(400, error(400, "Invalid value", "INVALID_ARGUMENT")),
    "credential": failing(401, error(401, "API key not valid", "UNAUTHENTICATED")),
    "limited": failing(429, error(429, "Quota", "RESOURCE_EXHAUSTED", {"RetryInfo": {"retryDelay": "7s"}})),
    "overloaded": failing(503, error(503, "Overloaded", "UNAVAILABLE", {"RetryInfo": {"retryDelay": "7s"}})),
    "unavailable": failing(500, error(500, "Internal error", "INTERNAL")),
    "policy": Script(sse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})),
    "malformed": Script(_HELLO + b"data: {\r\n\r\n"),
    "wrong-type": failing(200, b"<html>", content_type="text/html"),
    "cut": Script(text("Hello", " there"), cut_after=len(text("Hello", " there")) // 2, reset=True),
    "unfinished": Script(_HELLO),
    "silent": Script(delay=60),
    "idle": Script(_HELLO, hang=True),
    "endless": Script(_HELLO * 1000, event_delay=_SECONDS),
}


class GeminiModel:
    """Give its `answer` to `gemini_server`."""

    def __init__(self) -> None:
        self._mind = Mind()

    def answer(self, asked: Asked) -> Script:
        if asked.path.endswith(":batchEmbedContents"):
            return _embedded(asked.body)
        wish = _wish(asked.body)
        if wish.question.startswith("fault: "):
            return FAULTS[wish.question.removeprefix("fault: ")]
        responses = list(self._responses(asked.body, wish))
        small = 0 if wish.question.isascii() else 3
        return Script(sse(*responses), write_bytes=small, event_delay=_SECONDS if len(responses) > _SLOW else 0)

    def _responses(self, body: Mapping[str, Any], wish: Wish) -> Iterator[dict[str, Any]]:
        config = body.get("generationConfig", {})
        alternatives = config.get("logprobs") if config.get("responseLogprobs") else None
        said = spent = 0
        for index in range(config.get("candidateCount", 1)):
            answer = self._mind.answer(wish)
            yield from _pieces(index, answer, alternatives)
            said += len(answer.tokens) + 5 * len(answer.calls)
            spent += len(answer.thought)
            signed = {"text": "", "thoughtSignature": signature("text")}
            last = piece(signed, index=index, finish=_FINISH[answer.finish])
            yield usage(last, len(str(body["contents"])) // 4, said, thoughts=spent)


def _pieces(index: int, answer: Answer, alternatives: int | None) -> Iterator[dict[str, Any]]:
    for words in answer.thought:
        yield piece(thought(words), index=index)
    for token in answer.tokens:
        more = {} if alternatives is None else {"logprobsResult": _logprobs(token, alternatives)}
        yield piece({"text": token}, index=index, **more)
    if answer.calls:  # all of them at once, the first one signed
        parts = [call(name, args, signed=not at) for at, (name, args) in enumerate(answer.calls)]
        yield piece(*parts, index=index)


def _logprobs(token: str, alternatives: int) -> dict[str, Any]:
    chosen = {"token": token, "tokenId": 1, "logProbability": -0.1}
    others = [{"token": f"{token}{at}", "tokenId": at, "logProbability": -0.1 - at} for at in range(1, alternatives)]
    return {"chosenCandidates": [chosen], "topCandidates": [{"candidates": [chosen, *others]}]}


def _wish(body: Mapping[str, Any]) -> Wish:
    contents = body["contents"]
    asked = max(at for at, one in enumerate(contents) if one["role"] == "user" and _text(one["parts"]))
    parts = contents[asked]["parts"]
    blobs = [part["inlineData"] for part in parts if "inlineData" in part]
    later = [part for one in contents[asked:] for part in one["parts"]]
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    schema = config.get("responseJsonSchema")
    json_wanted = config.get("responseMimeType") == "application/json"
    return Wish(
        question=_text(parts),
        system=_text(body.get("systemInstruction", {}).get("parts", [])),
        history=" ".join(_text(one["parts"]) for one in contents[:asked]),
        results=[_result(part["functionResponse"]["response"]) for part in later if "functionResponse" in part],
        tools=_tools(body),
        choice=_choice(body.get("toolConfig", {}).get("functionCallingConfig", {})),
        form=("object" if schema is None else "schema") if json_wanted else "text",
        schema=schema or {},
        pictures=[base64.b64decode(one["data"]) for one in blobs if one["mimeType"].startswith("image/")],
        files=[base64.b64decode(one["data"]) for one in blobs if not one["mimeType"].startswith("image/")],
        temperature=config.get("temperature"),
        seed=config.get("seed"),
        stop=config.get("stopSequences", []),
        most=config.get("maxOutputTokens"),
        effort=str(thinking.get("thinkingLevel") or thinking.get("thinkingBudget") or ""),
    )


def _tools(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    declared = [one for tool in body.get("tools", []) for one in tool["functionDeclarations"]]
    return {one["name"]: one.get("parametersJsonSchema", {"type": "object"}) for one in declared}


def _choice(calling: Mapping[str, Any]) -> str:
    names = calling.get("allowedFunctionNames", [])
    return names[0] if len(names) == 1 else {"NONE": "none", "ANY": "required"}.get(calling.get("mode", ""), "auto")


def _result(response: Mapping[str, Any]) -> str:
    """The tool's own words, wherever they stand: as the object itself, or as text within one."""
    found = next((value for value in response.values() if isinstance(value, str) and value.startswith("{")), None)
    return found or json.dumps(response)


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def _embedded(body: Mapping[str, Any]) -> Script:
    requests = body["requests"]
    said = [_text(one["content"]["parts"]) for one in requests]
    lengths = [one.get("outputDimensionality", DIMENSIONS) for one in requests]
    return vectors(*map(vector, said, lengths))
