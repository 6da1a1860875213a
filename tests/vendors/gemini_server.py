"""A server that speaks Gemini's wire protocol by itself, and is as strict as the real one where that hurts."""

import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from tests.vendors.http_server import Asked, HTTPServer, Script, failing, in_turn, listening

__all__ = ["Asked", "GeminiServer", "Script", "error", "failing", "gemini_server", "in_turn", "piece", "sse", "text"]
__all__ += ["call", "refusal", "signature", "thought", "tool_calls", "usage", "vectors", "whole"]

# What Google takes for a signature that nobody has.
DUMMIES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
_PATH = re.compile(r"/v1(?:beta)?/models/[\w.-]+:(\w+)(\?alt=sse)?")
_SCHEMA: Any = object()  # any JSON
_PART = {
    "text": str,
    "thought": bool,
    "thoughtSignature": str,
    "inlineData": {"mimeType": str, "data": str},
    "fileData": {"mimeType": str, "fileUri": str},
    "functionCall": {"id": str, "name": str, "args": {}},
    "functionResponse": {"id": str, "name": str, "response": {}},
}
_CONTENT = {"role": str, "parts": [_PART]}
_GENERATE = {
    "contents": [_CONTENT],
    "systemInstruction": _CONTENT,
    "tools": [{"functionDeclarations": [{"name": str, "description": str, "parametersJsonSchema": _SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": str, "allowedFunctionNames": [str]}},
    "generationConfig": {
        **dict.fromkeys(("temperature", "topP", "frequencyPenalty", "presencePenalty"), (int, float)),
        **dict.fromkeys(("topK", "seed", "candidateCount", "maxOutputTokens", "logprobs"), int),
        "stopSequences": [str],
        "responseLogprobs": bool,
        "responseMimeType": str,
        "responseJsonSchema": _SCHEMA,
        "mediaResolution": str,
        "thinkingConfig": {"includeThoughts": bool, "thinkingBudget": int, "thinkingLevel": str},
    },
}
_EMBED = {"requests": [{"model": str, "content": _CONTENT, "outputDimensionality": int}]}


class GeminiServer(HTTPServer):
    """Answers each request as `answer` says, unless the real API would refuse it: then it refuses, too."""


@contextlib.asynccontextmanager
async def gemini_server(answer: Callable[[Asked], Script]) -> AsyncIterator[GeminiServer]:
    """The server, on a port of its own."""
    fake = GeminiServer(lambda asked: refusal(asked) or answer(asked))
    async with listening(fake):
        yield fake


def refusal(asked: Asked) -> Script | None:
    """What the real API would refuse a request with, if it would."""
    path = _PATH.fullmatch(asked.path)
    if path is None or "key=" in asked.path:
        return failing(404, error(404, f"{asked.path} is not found", "NOT_FOUND"))
    if not asked.headers.get("x-goog-api-key"):
        return failing(403, error(403, "Method doesn't allow unregistered callers", "PERMISSION_DENIED"))
    streamed = path[1] == "streamGenerateContent"
    if streamed != bool(path[2]) or path[1] not in ("generateContent", "streamGenerateContent", "batchEmbedContents"):
        return failing(404, error(404, f"{path[1]} is not found", "NOT_FOUND"))
    schema = _EMBED if path[1] == "batchEmbedContents" else _GENERATE
    body = camel(asked.body)
    wrong = next(_wrong(body, schema, ""), None) or next(_meaningless(body, asked.path), None)
    return failing(400, _in_form(error(400, wrong, "INVALID_ARGUMENT"), streamed)) if wrong else None


def camel(value: Any, name: str = "") -> Any:
    """With names as protobuf's JSON writes them; it reads those of the contract, too, and Google's SDK mixes them."""
    if name in ("args", "response", "parametersJsonSchema", "responseJsonSchema"):
        return value
    if isinstance(value, dict):
        names = {key: re.sub("_([a-z])", lambda found: found[1].upper(), key) for key in value}
        return {names[key]: camel(inner, names[key]) for key, inner in value.items()}
    return [camel(inner) for inner in value] if isinstance(value, list) else value


def _in_form(body: bytes, streamed: bool) -> bytes:
    return b"[" + body + b"\n]" if streamed else body


def _wrong(value: Any, schema: Any, path: str) -> Iterator[str]:
    if schema is _SCHEMA:
        return
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f"Invalid value at '{path}'"
            return
        for name, inner in value.items():
            if schema and name not in schema:
                yield f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            elif schema:
                yield from _wrong(inner, schema[name], f"{path}.{name}".lstrip("."))
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f"Invalid value at '{path}'"
            return
        for at, inner in enumerate(value):
            yield from _wrong(inner, schema[0], f"{path}[{at}]")
    elif not isinstance(value, schema) or (isinstance(value, bool) and schema is not bool):
        yield f"Invalid value at '{path}'"


def _meaningless(body: dict[str, Any], path: str) -> Iterator[str]:
    if "requests" in body:
        if len(body["requests"]) > 100:
            yield "at most 100 requests can be in one batch"
        return
    config = body.get("generationConfig", {})
    contents = body.get("contents", [])
    if not contents:
        yield "contents is not specified"
    if len(config.get("stopSequences", ())) > 5:
        yield "the number of stop sequences must be at most 5"
    if {"thinkingBudget", "thinkingLevel"} <= config.get("thinkingConfig", {}).keys():
        yield "You can only set only one of thinking budget and thinking level."
    if "responseJsonSchema" in config and config.get("responseMimeType") != "application/json":
        yield "response_json_schema is only supported with response mime type application/json"
    if "logprobs" in config and not config.get("responseLogprobs"):
        yield "logprobs is set but response_logprobs is not"
    if "toolConfig" in body and "tools" not in body:
        yield "Function calling config is set without function_declarations."
    yield from _bad_turns(contents)
    if "gemini-2" not in path:
        yield from _unsigned(contents)


def _bad_turns(contents: list[dict[str, Any]]) -> Iterator[str]:
    calls: list[Any] = []
    for at, content in enumerate(contents):
        parts = content.get("parts") or []
        if content.get("role") not in ("user", "model"):
            yield "Please use a valid role: user, model."
        if not parts:
            yield f"contents[{at}].parts must not be empty"
        for part in parts:
            kinds = part.keys() - {"thought", "thoughtSignature"}
            if len(kinds) != 1 or (part.get("text") == "" and "thoughtSignature" not in part):
                yield f"contents[{at}].parts: required oneof field 'data' must have one initialized field"
        answered = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if [(one["id"], one["name"]) for one in answered] != [(one["id"], one["name"]) for one in calls]:
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if any(re.search(r'(?<!\\)"\$ref":', json.dumps(one["response"])) for one in answered):
            yield "$ref in a function response refers to nothing"
        calls = [part["functionCall"] for part in parts if "functionCall" in part]


def _unsigned(contents: list[dict[str, Any]]) -> Iterator[str]:
    """The first call of each step since the user last said something must carry the signature that was given out."""
    begins = [
        at for at, one in enumerate(contents) if one["role"] == "user" and any("text" in part for part in one["parts"])
    ]
    for at, content in enumerate(contents):
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is None or at < (begins[-1] if begins else 0):
            continue
        given = first.get("thoughtSignature")
        name = first["functionCall"]["name"]
        if not given:
            yield f"Function call is missing a thought_signature in functionCall parts: `{name}`, position {at + 1}."
        elif given not in DUMMIES and not base64.urlsafe_b64decode(given.translate(str.maketrans("+/", "-_"))).endswith(
            name.encode()
        ):
            yield "Corrupted thought signature."


def signature(name: str) -> str:
    """A signature as this server gives one out for a call of that tool, and knows again."""
    return base64.b64encode(b"\x12\xff\x00signature of " + name.encode()).decode()


def piece(*parts: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A response with parts of one candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index, **more}
    if finish:
        candidate["finishReason"] = finish
    counts = {"promptTokenCount": 7, "totalTokenCount": 7}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "gemini-3-flash-001", "responseId": "r"}


def usage(
    of: dict[str, Any], prompt: int = 7, candidates: int = 3, *, thoughts: int = 0, cached: int = 0
) -> dict[str, Any]:
    """The response with its usage."""
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "thoughtsTokenCount": thoughts,
        "cachedContentTokenCount": cached,
        "totalTokenCount": prompt + candidates + thoughts,
    }
    return {**of, "usageMetadata": {name: count for name, count in counts.items() if count}}


def thought(said: str) -> dict[str, Any]:
    """A part of thinking."""
    return {"text": said, "thought": True}


def call(name: str, args: dict[str, Any] | None = None, *, signed: bool = True, **more: Any) -> dict[str, Any]:
    """A part that calls a tool."""
    part: dict[str, Any] = {"functionCall": {"name": name, "args": args or {}, **more}}
    return {**part, "thoughtSignature": signature(name)} if signed else part


def sse(*responses: dict[str, Any]) -> bytes:
    """Responses as a stream of events, as the API writes them."""
    return "".join(f"data: {json.dumps(one, ensure_ascii=False)}\r\n\r\n" for one in responses).encode()


def text(*pieces: str, finish: str = "STOP") -> bytes:
    """A whole answer of text; its signature comes last, on a part without words."""
    said = [piece({"text": one}) for one in pieces]
    last = piece({"text": "", "thoughtSignature": signature("text")}, finish=finish)
    return sse(*said, usage(last, 7, len(pieces)))


def tool_calls() -> bytes:
    """Two calls at once: only the first is signed."""
    return sse(
        piece(call("weather", {"city": "Köln"})),
        usage(piece(call("clock", {"zone": "CET"}, signed=False), finish="STOP"), 20, 9),
    )


def whole(*responses: dict[str, Any]) -> Script:
    """An answer that is not streamed, printed as the API prints it."""
    body = json.dumps(responses[0] if len(responses) == 1 else responses, ensure_ascii=False, indent=2).encode()
    return Script(body, headers={"content-type": "application/json; charset=UTF-8"}, chunked=False)


def vectors(*values: list[float]) -> Script:
    """The answer to batchEmbedContents."""
    return whole({"embeddings": [{"values": one} for one in values]})


def error(code: int, message: str, status: str = "", *details: dict[str, Any]) -> bytes:
    """The body of an error; details are named by their type."""
    typed = [
        {"@type": f"type.googleapis.com/google.rpc.{name}", **value} for one in details for name, value in one.items()
    ]
    said: dict[str, Any] = {"code": code, "message": message, "status": status}
    return json.dumps({"error": {**said, **({"details": typed} if typed else {})}}).encode()
