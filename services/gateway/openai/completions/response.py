"""Answers as OpenAI's bytes: chunks of a stream, and whole completions."""

from collections.abc import Iterable, Sequence
from typing import Any

from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import shapes
from services.gateway.openai.completions.logprobs import Logprobs
from services.gateway.openai.lines import dumps, quoted

_OBJECT = "text_completion"


class CompletionChunks:
    """Turns the events of a request's generations, one for each prompt, into the bytes of its one SSE stream.

    Made for the plain piece of text, as those of chats are. The last `finished` event brings `[DONE]`.
    """

    def __init__(
        self, *, completion_id: str, created: int, model: str, include_usage: bool, choices: int, echoed: Sequence[str]
    ) -> None:
        """`choices` answers to each prompt, which all begin with the prompt's text in `echoed`."""
        head = {"id": completion_id, "object": _OBJECT, "created": created, "model": model}
        self._head = b"data: " + dumps(head)[:-1]
        self._include_usage = include_usage
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._text_head = self._head + b',"choices":[{"index":'
        self._text_tail = b',"logprobs":null,"finish_reason":null}]' + self._tail
        self._choices = choices
        # What is yet to be said of prompts, by the choice's index.
        self._echoes = {
            prompt * choices + choice: text for prompt, text in enumerate(echoed) if text for choice in range(choices)
        }
        self._logprobs: dict[int, Logprobs] = {}
        self._usage = generation.Usage()
        self._running = len(echoed)

    def write(self, prompt: int, events: Iterable[generation.GenerationEvent]) -> bytes:
        """The bytes of one prompt's events that are ready at one moment; none for `started`.

        Raises:
            Failure: TRUNCATED, when `finished` does not say how every choice ended.
        """
        first = prompt * self._choices
        return b"".join([self._bytes(first, event) for event in events])

    def _bytes(self, first: int, event: generation.GenerationEvent) -> bytes:
        kind = event.WhichOneof("event")
        if kind == "delta":
            delta = event.delta
            index, text = first + delta.choice, delta.text
            if self._echoes:
                text = self._echoes.pop(index, "") + text
            if delta.logprobs:
                logprobs = self._logprobs.setdefault(index, Logprobs()).shaped(delta.logprobs)
                return self._chunk(_choice(index, text, logprobs, None), b"")
            return self._text_head + b'%d,"text":' % index + quoted(text) + self._text_tail if text else b""
        return self._end(first, event.finished) if kind == "finished" else b""

    def _end(self, first: int, finished: generation.Finished) -> bytes:
        fingerprint = b',"system_fingerprint":' + dumps(finished.fingerprint) if finished.fingerprint else b""
        lines = []
        for index, reason in enumerate(finished.reasons or (generation.FINISH_REASON_UNSPECIFIED,), start=first):
            last = _choice(index, self._echoes.pop(index, ""), None, shapes.finish_reason(reason))
            lines.append(self._chunk(last, fingerprint))
        _add(self._usage, finished.usage)
        self._running -= 1
        if not self._running:
            if self._include_usage:
                usage = b',"choices":[],"usage":' + dumps(shapes.usage(self._usage)) + b"}\n\n"
                lines.append(self._head + fingerprint + usage)
            lines.append(b"data: [DONE]\n\n")
        return b"".join(lines)

    def _chunk(self, choice: dict[str, Any], more: bytes) -> bytes:
        return self._head + more + b',"choices":[' + dumps(choice) + b"]" + self._tail


def completion(
    wholes: Sequence[inference.GenerateResponse],
    *,
    completion_id: str,
    created: int,
    model: str,
    choices: int,
    echoed: Sequence[str],
) -> bytes:
    """The body of a whole answer to all prompts, of which each has `choices`.

    Raises:
        Failure: TRUNCATED, when a prompt has no choice, or one does not say how it ended.
    """
    usage = generation.Usage()
    shaped: list[dict[str, Any]] = []
    for prompt, whole in enumerate(wholes):
        if not whole.choices:
            shapes.finish_reason(generation.FINISH_REASON_UNSPECIFIED)
        shaped += [_whole(choice, prompt * choices, echoed[prompt]) for choice in whole.choices]
        _add(usage, whole.usage)
    body = {
        "id": completion_id,
        "object": _OBJECT,
        "created": created,
        "model": model,
        "choices": shaped,
        "usage": shapes.usage(usage),
        "system_fingerprint": wholes[0].fingerprint or None,
    }
    return dumps(body)


def _whole(choice: inference.Choice, first: int, echoed: str) -> dict[str, Any]:
    content, reason = choice.content, shapes.finish_reason(choice.finish_reason)
    logprobs = Logprobs().shaped(content.logprobs) if content.logprobs else None
    return _choice(first + choice.index, echoed + content.text, logprobs, reason)


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def _add(total: generation.Usage, counted: generation.Usage) -> None:
    for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
        setattr(total, name, getattr(total, name) + getattr(counted, name))
