"""A model behind OpenAI's API: reads requests as OpenAI's servers do, and refuses what they would."""

import array
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.vendors.mind import Answer, Mind, Wish, vector
from tests.vendors.openai_server import Asked, Script, chunk, error, failing, sse, text, text_chunk, usage

DIMENSIONS = 1536
_FIELDS = frozenset(
    {"model", "messages", "stream", "stream_options", "n", "max_completion_tokens", "max_tokens", "user", "stop"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "seed", "temperature"}
    | {"top_p", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "prompt_cache_key"}
)
_COMPLETION_FIELDS = frozenset(
    {"model", "prompt", "stream", "stream_options", "n", "max_tokens", "user", "stop", "seed", "temperature", "top_p"}
    | {"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "response_format"}
)
_EMBEDDING_FIELDS = frozenset(("model", "input", "dimensions", "encoding_format", "user"))
# An answer that somebody may want to leave takes its time.
_SLOW = 40
_SECONDS = 0.03
FAULTS: dict[str, Script] = {
    "rejected": failing(400, error("Invalid value", param="messages")),
    "credential": failing(401, error("Incorrect API key", code="invalid_api_key")),
    "limited": failing(429, error("Rate limit", code="rate_limit_exceeded"), retry_after="7"),
    "overloaded": failing(503, error("Overloaded", code="server_is_overloaded"), retry_after="7"),
    "unavailable": failing(500),
    "policy": failing(400, error("Not allowed", code="content_policy_violation")),
    "malformed": Script(sse(chunk({"content": "Hello"}), done=False) + b"data: {\n\n"),
    "wrong-type": failing(200, b"<html>", content_type="text/html"),
    "cut": Script(text("Hello", " there"), cut_after=len(text("Hello", " there")) // 2, reset=True),
    "unfinished": Script(sse(chunk({"content": "Hello"}))),
    "silent": Script(delay=60),
    "idle": Script(sse(chunk({"content": "Hello"}), done=False), hang=True),
    "endless": Script(sse(*[chunk({"content": "Hello"})] * 1000), event_delay=_SECONDS),
}


class OpenAIModel:
    """Give its `answer` to `openai_server`."""

    def __init__(self) -> None:
        self._mind = Mind()
        self._prompts: set[str] = set()

    def _prompt(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Tokens of a prompt, and how many of them are at the beginning of one that was here before."""
        tokens = cached = 0
        for number, message in enumerate(messages, start=1):
            tokens += len(str(message)) // 4
            begun = json.dumps(messages[:number])
            cached = tokens if begun in self._prompts else cached
            self._prompts.add(begun)
        return tokens, cached

    def answer(self, asked: Asked) -> Script:
        if asked.path == "/v1/embeddings":
            return _embedded(asked.body)
        prompted = asked.path == "/v1/completions"
        assert prompted or asked.path == "/v1/chat/completions"
        unknown = set(asked.body) - (_COMPLETION_FIELDS if prompted else _FIELDS)
        if unknown:
            return failing(400, error(f"Unrecognized request argument supplied: {min(unknown)}", param=min(unknown)))
        wish = _prompted(asked.body) if prompted else _wish(asked.body)
        if wish.question.startswith("fault: "):
            return FAULTS[wish.question.removeprefix("fault: ")]
        body = sse(*(self._text_chunks if prompted else self._chunks)(asked.body, wish))
        tokens = body.count(b"\n\n")
        # The smallest writes where characters are of several bytes, so that they come apart.
        small = 0 if wish.question.isascii() else 3
        return Script(body, write_bytes=small, event_delay=_SECONDS if tokens > _SLOW else 0)

    def _chunks(self, body: Mapping[str, Any], wish: Wish) -> list[dict[str, Any]]:
        said = [chunk({"role": "assistant", "content": ""})]
        spent = thought = 0
        for index in range(body.get("n", 1)):
            answer = self._mind.answer(wish)
            said += _pieces(index, answer, alternatives=body.get("top_logprobs") if body.get("logprobs") else None)
            thought += len(answer.thought)
            spent += len(answer.tokens) + len(answer.thought) + 5 * len(answer.calls)
        prompt, cached = self._prompt(body["messages"])
        counted = usage(prompt, spent, cached=cached, reasoning=thought)
        return [*said, *([counted] if body.get("stream_options", {}).get("include_usage") else [])]

    def _text_chunks(self, body: Mapping[str, Any], wish: Wish) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        spent = 0
        for index in range(body.get("n", 1)):
            answer = self._mind.answer(wish)
            for token in answer.tokens:
                more = {} if body.get("logprobs") is None else {"logprobs": _text_logprobs(token, body["logprobs"])}
                said.append(text_chunk(token, index=index, **more))
            said.append(text_chunk(index=index, finish=answer.finish))
            spent += len(answer.tokens)
        prompt = body["prompt"]
        counted = usage(len(prompt if isinstance(prompt, list) else prompt.split()), spent)
        return [*said, *([counted] if body.get("stream_options", {}).get("include_usage") else [])]


def _pieces(index: int, answer: Answer, *, alternatives: int | None) -> list[dict[str, Any]]:
    said = [chunk({"reasoning_content": piece}, index=index) for piece in answer.thought]
    for token in answer.tokens:
        more = {} if alternatives is None else {"logprobs": {"content": [_logprob(token, alternatives)]}}
        said.append(chunk({"content": token}, index=index, **more))
    for number, (name, arguments) in enumerate(answer.calls):
        # One after the other, as OpenAI does: the helpers of its SDK take the next call for the end of the last.
        first = {"index": number, "id": f"call_{number}", "type": "function"}
        said.append(chunk({"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]}, index=index))
        written = json.dumps(arguments)
        for start in range(0, len(written), 6):
            part = {"index": number, "function": {"arguments": written[start : start + 6]}}
            said.append(chunk({"tool_calls": [part]}, index=index))
    return [*said, chunk(index=index, finish=answer.finish)]


def _logprob(token: str, alternatives: int) -> dict[str, Any]:
    def one(word: str, logprob: float) -> dict[str, Any]:
        return {"token": word, "logprob": logprob, "bytes": list(word.encode())}

    top = [one(token if not number else f"{token}{number}", -0.1 - number) for number in range(alternatives)]
    return {**one(token, -0.1), "top_logprobs": top}


def _text_logprobs(token: str, alternatives: int) -> dict[str, Any]:
    others = {f"{token}{number}": -0.1 - number for number in range(1, alternatives)}
    top = {token: -0.1, **others} if alternatives else {}
    return {"tokens": [token], "token_logprobs": [-0.1], "top_logprobs": [top], "text_offset": [0]}


def _prompted(body: Mapping[str, Any]) -> Wish:
    prompt, stop = body["prompt"], body.get("stop") or []
    form = body.get("response_format", {"type": "text"})
    return Wish(
        question=prompt if isinstance(prompt, str) else " ".join(map(str, prompt)),
        form={"json_object": "object", "json_schema": "schema"}.get(form["type"], "text"),
        schema=form.get("json_schema", {}).get("schema", {}),
        temperature=body.get("temperature"),
        seed=body.get("seed"),
        stop=[stop] if isinstance(stop, str) else stop,
        most=body.get("max_tokens", 16),
    )


def _wish(body: Mapping[str, Any]) -> Wish:
    messages = body["messages"]
    asked = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=None)
    parts = [] if asked is None else _parts(messages[asked])
    form = body.get("response_format", {"type": "text"})
    choice = body.get("tool_choice", "auto")
    stop = body.get("stop") or []
    return Wish(
        question="".join(part["text"] for part in parts if part["type"] == "text"),
        system=" ".join(_text(message) for message in messages if message["role"] in ("system", "developer")),
        history=" ".join(map(_text, messages[:asked])),
        results=[_text(message) for message in messages[asked:] if message["role"] == "tool"],
        tools=_tools(body),
        choice=choice if isinstance(choice, str) else choice["function"]["name"],
        parallel=body.get("parallel_tool_calls", True),
        form={"json_object": "object", "json_schema": "schema"}.get(form["type"], "text"),
        schema=form.get("json_schema", {}).get("schema", {}),
        pictures=[_data(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"],
        files=[_data(part["file"]["file_data"]) for part in parts if part["type"] == "file"],
        sounds=[base64.b64decode(part["input_audio"]["data"]) for part in parts if part["type"] == "input_audio"],
        temperature=body.get("temperature"),
        seed=body.get("seed"),
        stop=[stop] if isinstance(stop, str) else stop,
        most=body.get("max_completion_tokens", body.get("max_tokens")),
        effort=body.get("reasoning_effort", ""),
    )


def _tools(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    functions = [tool["function"] for tool in body.get("tools", [])]
    return {one["name"]: one.get("parameters", {"type": "object"}) for one in functions}


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content") or ""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(message: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in _parts(message) if part["type"] == "text")


def _data(url: str) -> bytes:
    kind, _, data = url.partition(";base64,")
    assert kind.startswith("data:"), "an address, which nobody fetches"
    return base64.b64decode(data, validate=True)


def _embedded(body: Mapping[str, Any]) -> Script:
    unknown = set(body) - _EMBEDDING_FIELDS
    if unknown:
        return failing(400, error(f"Unrecognized request argument supplied: {min(unknown)}", param=min(unknown)))
    given = body["input"]
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    if str(inputs[0]).startswith("fault: "):
        return FAULTS[inputs[0].removeprefix("fault: ")]
    vectors = [vector(json.dumps(one), body.get("dimensions", DIMENSIONS)) for one in inputs]
    as_text = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(values) if as_text else values}
        for index, values in enumerate(vectors)
    ]
    tokens = sum(len(one.split()) if isinstance(one, str) else len(one) for one in inputs)
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": "vendor-embedding-2026", "usage": counted}
    return Script(json.dumps(answer).encode(), headers={"content-type": "application/json"}, chunked=False)


def _packed(values: list[float]) -> str:
    return base64.b64encode(array.array("f", values).tobytes()).decode()
