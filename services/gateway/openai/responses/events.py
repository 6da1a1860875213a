"""A response as it comes: server-sent events in the order that clients depend on, numbered without a gap."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.openai import errors
from services.gateway.openai.lines import dumps, quoted
from services.gateway.openai.responses.output import Change, Kind, Run, Step
from services.gateway.openai.responses.response import Response, end

_DONE = b"data: [DONE]\n\n"
# What happens to a run of each kind: the event's name in the middle, and what its text is called once it is whole.
_NAMES = {
    Kind.TEXT: ("output_text", "text"),
    Kind.REFUSAL: ("refusal", "refusal"),
    Kind.SUMMARY: ("reasoning_summary_text", "text"),
    Kind.ARGUMENTS: ("function_call_arguments", "arguments"),
}
# The words of `response.error.code` are few; the `error` event has ours.
_CODES = {429: "rate_limit_exceeded", 400: "invalid_prompt", 413: "invalid_prompt"}


class ResponseEvents:
    """Turns the events of one generation into the bytes of its SSE stream.

    Nothing is written before there is content: a client that has seen `response.created` is one that cannot be served
    elsewhere any more. Made for the plain piece of text, of which there is one per token: its bytes are a head and a
    tail that never change around the escaped text, and the number.
    """

    def __init__(self, response: Response, clock: Callable[[], float] = time.time) -> None:
        self._response = response
        self._clock = clock
        self._output = response.output()
        self._number = 0
        self._heads: dict[Run, bytes] = {}

    def write(self, events: Iterable[generation.GenerationEvent]) -> bytes:
        """The bytes of events that are ready at one moment; none for `started`.

        Raises:
            Failure: TRUNCATED, when `finished` does not say how the answer ended.
        """
        return b"".join([self._bytes(event) for event in events])

    def failed(self, failure: Failure, param_of: errors.ParamOf) -> bytes:
        """The end of a stream that failed.

        SDKs raise on an event with an `error`, and only on that; a client that reads events by their names finds
        `response.failed`, which an SDK never comes to.
        """
        error = errors.told(failure, param_of)
        flat = {"code": error["code"], "message": error["message"], "param": error["param"], "error": error}
        self._output.cut()
        code = _CODES.get(errors.status(failure), "server_error")
        response = self._response.failed(self._output.items, {"code": code, "message": error["message"]})
        return self._opening() + self._event("error", flat) + self._lifecycle("failed", response)

    def _bytes(self, event: generation.GenerationEvent) -> bytes:
        kind = event.WhichOneof("event")
        if kind == "delta":
            run = self._output.plain(event.delta)
            if run is None:
                return self._steps(self._output.take(event.delta))
            text = event.delta.text
            run.grow(text)
            return self._grown(run, text, b"[]")
        return self._end(event.finished) if kind == "finished" else b""

    def _end(self, finished: generation.Finished) -> bytes:
        ended = end(finished)
        steps = self._steps(self._output.end(whole=ended.cut is None))
        response = self._response.ended(self._output.items, ended, now=int(self._clock()))
        name = "completed" if ended.cut is None else "incomplete"
        return self._opening() + steps + self._lifecycle(name, response) + _DONE

    def _opening(self) -> bytes:
        if self._number:
            return b""
        running = self._response.running()
        return self._lifecycle("created", running) + self._lifecycle("in_progress", running)

    def _steps(self, steps: Iterable[Step]) -> bytes:
        return b"".join([self._opening() + self._step(step) for step in steps])

    def _step(self, step: Step) -> bytes:
        change, item, run = step.change, step.item, step.run
        if run is None:
            name = "added" if change is Change.ITEM_ADDED else "done"
            return self._event(f"response.output_item.{name}", {"output_index": item.place, "item": item.shaped()})
        if change is Change.GROWN:
            return self._grown(run, step.text, dumps(step.logprobs))
        if change is Change.RUN_ADDED:
            return self._part(run, "added")
        return self._full(run) + self._part(run, "done")

    def _grown(self, run: Run, text: str, logprobs: bytes) -> bytes:
        head = self._heads.get(run)
        if head is None:
            name = f"response.{_NAMES[run.kind][0]}.delta"
            head = self._heads[run] = _frame(name) + dumps({"type": name, **_where(run)})[:-1] + b',"delta":'
        tail = b',"logprobs":' + logprobs if run.kind is Kind.TEXT else b""
        return head + quoted(text) + tail + self._numbered()

    def _full(self, run: Run) -> bytes:
        name, member = _NAMES[run.kind]
        more = {"logprobs": run.logprobs} if run.kind is Kind.TEXT else {}
        return self._event(f"response.{name}.done", {**_where(run), member: run.text, **more})

    def _part(self, run: Run, what: str) -> bytes:
        if run.kind is Kind.ARGUMENTS:  # which are no part, but all of their item
            return b""
        name = "reasoning_summary_part" if run.kind is Kind.SUMMARY else "content_part"
        return self._event(f"response.{name}.{what}", {**_where(run), "part": run.shaped()})

    def _lifecycle(self, name: str, response: bytes) -> bytes:
        kind = f"response.{name}"
        return _frame(kind) + dumps({"type": kind})[:-1] + b',"response":' + response + self._numbered()

    def _event(self, name: str, members: dict[str, Any]) -> bytes:
        return _frame(name) + dumps({"type": name, **members})[:-1] + self._numbered()

    def _numbered(self) -> bytes:
        number = self._number
        self._number = number + 1
        return b',"sequence_number":%d}\n\n' % number


def _frame(name: str) -> bytes:
    return b"event: " + name.encode() + b"\ndata: "


def _where(run: Run) -> dict[str, Any]:
    place = {"item_id": run.item.id, "output_index": run.item.place}
    if run.kind is Kind.ARGUMENTS:
        return place
    return {**place, "summary_index" if run.kind is Kind.SUMMARY else "content_index": run.place}
