"""Answers as OpenAI's bytes: chunks of a stream, and whole completions."""

from collections.abc import Iterable
from typing import Any

from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import shapes
from services.gateway.openai.lines import dumps, quoted


class ChatChunks:
    """Turns the events of one generation into the bytes of its SSE stream.

    Made for the plain piece of text, of which there is one per token: its bytes are a prefix and a suffix that never
    change around the escaped text. The `finished` event brings the last chunks and `[DONE]`.
    """

    def __init__(self, *, completion_id: str, created: int, model: str, include_usage: bool) -> None:
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = b"data: " + dumps(head)[:-1]
        self._include_usage = include_usage
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._begun: set[int] = set()
        self._text_head = self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def write(self, events: Iterable[generation.GenerationEvent]) -> bytes:
        """The bytes of events that are ready at one moment; none for `started`.

        Raises:
            Failure: TRUNCATED, when `finished` does not say how every choice ended.
        """
        return b"".join([self._bytes(event) for event in events])

    def _bytes(self, event: generation.GenerationEvent) -> bytes:
        delta = event.delta  # empty where the event is another one
        text = delta.text
        plain = text and not delta.choice and 0 in self._begun
        if plain and not (delta.tool_calls or delta.logprobs or delta.reasoning or delta.refusal):
            return self._text_head + quoted(text) + self._text_tail
        kind = event.WhichOneof("event")
        if kind == "delta":
            return self._piece(delta)
        return self._end(event.finished) if kind == "finished" else b""

    def _piece(self, delta: generation.Delta) -> bytes:
        piece: dict[str, Any] = {}
        if delta.text:
            piece["content"] = delta.text
        piece |= shapes.reasoning(delta.reasoning)
        if delta.refusal:
            piece["refusal"] = delta.refusal
        if delta.tool_calls:
            piece["tool_calls"] = shapes.tool_calls(delta.tool_calls, indexed=True)
        logprobs = shapes.logprobs(delta)
        if not piece and not logprobs:
            return b""  # only token ids, or nothing
        role = self._role(delta.choice, None if delta.tool_calls else "")
        if role and logprobs:
            # By itself: OpenAI's SDK for Node counts log probabilities twice that are in a choice's first chunk.
            alone = self._chunk(_choice(delta.choice, role, None, None), b"")
            return alone + self._chunk(_choice(delta.choice, piece, logprobs, None), b"")
        return self._chunk(_choice(delta.choice, role | piece, logprobs, None), b"")

    def _role(self, choice: int, content: str | None) -> dict[str, Any]:
        """The role, in the first piece of each choice, with the content that OpenAI puts beside it."""
        if choice in self._begun:
            return {}
        self._begun.add(choice)
        return {"role": "assistant", "content": content}

    def _end(self, finished: generation.Finished) -> bytes:
        fingerprint = b',"system_fingerprint":' + dumps(finished.fingerprint) if finished.fingerprint else b""
        lines = []
        for index, reason in enumerate(finished.reasons or (generation.FINISH_REASON_UNSPECIFIED,)):
            piece = self._role(index, "")
            lines.append(self._chunk(_choice(index, piece, None, shapes.finish_reason(reason)), fingerprint))
        if self._include_usage:
            usage = b',"choices":[],"usage":' + dumps(shapes.usage(finished.usage)) + b"}\n\n"
            lines.append(self._head + fingerprint + usage)
        return b"".join(lines) + b"data: [DONE]\n\n"

    def _chunk(self, choice: dict[str, Any], more: bytes) -> bytes:
        return self._head + more + b',"choices":[' + dumps(choice) + b"]" + self._tail


def completion(whole: inference.GenerateResponse, *, completion_id: str, created: int, model: str) -> bytes:
    """The body of a whole answer.

    Raises:
        Failure: TRUNCATED, when there is no choice, or one does not say how it ended.
    """
    if not whole.choices:
        shapes.finish_reason(generation.FINISH_REASON_UNSPECIFIED)
    body = {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [_whole(choice) for choice in whole.choices],
        "usage": shapes.usage(whole.usage),
        "system_fingerprint": whole.fingerprint or None,
    }
    return dumps(body)


def _whole(choice: inference.Choice) -> dict[str, Any]:
    content = choice.content
    # A tool call or a refusal stands in place of content; an answer of no words is still an answer.
    absent = not content.text and (content.tool_calls or content.refusal)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if absent else content.text,
        "refusal": content.refusal or None,
    }
    message |= shapes.reasoning(content.reasoning)
    if content.tool_calls:
        message["tool_calls"] = shapes.tool_calls(content.tool_calls, indexed=False)
    logprobs, reason = shapes.logprobs(content), shapes.finish_reason(choice.finish_reason)
    return {"index": choice.index, "message": message, "logprobs": logprobs, "finish_reason": reason}


def _choice(index: int, delta: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
