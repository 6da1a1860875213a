"""The output of a response: items that grow while a generation goes on, and the steps in which they do.

Streamed and whole answers are made of the same items, so that what a client puts together from the steps is what it
would have been given at once. What is thought before each answer is an item of its own, and so is each call of a
function. Pieces of several calls may take turns: a call is whole only when the generation is.
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.openai import shapes, signatures

_THOUGHT, _MESSAGE, _CALL = "reasoning", "message", "function_call"
_PREFIXES = {_THOUGHT: "rs", _MESSAGE: "msg", _CALL: "fc"}


class Kind(enum.Enum):
    """What a run of text is."""

    TEXT = enum.auto()
    REFUSAL = enum.auto()
    SUMMARY = enum.auto()
    ARGUMENTS = enum.auto()


class Run:
    """A text that grows: a part of a message, a thought, or the arguments of a call."""

    def __init__(self, kind: Kind, item: "Item", place: int) -> None:
        self.kind = kind
        self.item = item
        self.place = place  # among the parts of its item
        self.logprobs: list[dict[str, Any]] = []
        self._pieces: list[str] = []

    def grow(self, text: str) -> None:
        """Add a piece."""
        self._pieces.append(text)

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)

    def shaped(self) -> dict[str, Any]:
        """As a part of its item."""
        if self.kind is Kind.TEXT:
            return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs}
        if self.kind is Kind.REFUSAL:
            return {"type": "refusal", "refusal": self.text}
        return {"type": "summary_text", "text": self.text}


@dataclasses.dataclass(slots=True)
class Item:
    """A message, a thought, or a call."""

    type: str
    id: str
    place: int
    called: dict[str, str] = dataclasses.field(default_factory=dict)  # the id of a call, and the function's name
    signature: bytes = b""
    runs: list[Run] = dataclasses.field(default_factory=list)
    status: str = "in_progress"

    def shaped(self) -> dict[str, Any]:
        """As a member of `output`."""
        shaped: dict[str, Any] = {"id": self.id, "type": self.type, "status": self.status}
        if self.type == _CALL:
            arguments = "".join([run.text for run in self.runs])  # there is none yet when the call is added
            return {**shaped, **self.called, "arguments": arguments, **signatures.shaped(self.signature)}
        parts = [run.shaped() for run in self.runs]
        return shaped | ({"summary": parts} if self.type == _THOUGHT else {"role": "assistant", "content": parts})


class Change(enum.Enum):
    """What happens in a step."""

    ITEM_ADDED = enum.auto()
    RUN_ADDED = enum.auto()
    GROWN = enum.auto()
    RUN_DONE = enum.auto()
    ITEM_DONE = enum.auto()


class Step(NamedTuple):
    """One step. `run` is absent where a whole item is concerned; `text` and `logprobs` are what a run grew by."""

    change: Change
    item: Item
    run: Run | None = None
    text: str = ""
    logprobs: Sequence[dict[str, Any]] = ()


class Output:
    """The items so far."""

    def __init__(self, identity: str, grouped: Mapping[str, tuple[str, str]]) -> None:
        """`identity` is what ids have in common; `grouped` has namespace and name of functions with names of both."""
        self.items: list[Item] = []
        self._identity = identity
        self._grouped = grouped
        self._run: Run | None = None  # of the message or thought that goes on
        self._calls: dict[int, Item] = {}

    def plain(self, delta: generation.Delta) -> Run | None:
        """The run that a delta continues with nothing but text; None where more than that has to be done."""
        run = self._run
        if run is None or run.kind is not Kind.TEXT or not delta.text:
            return None
        if delta.reasoning or delta.refusal or delta.tool_calls or delta.logprobs:
            return None
        return run

    def take(self, delta: generation.Delta) -> Iterator[Step]:
        """The steps of a piece of the answer."""
        if delta.reasoning:
            yield from self._grow(Kind.SUMMARY, delta.reasoning)
        # Of what is thought, refused or called the API tells no probabilities.
        other = delta.reasoning or delta.refusal or delta.tool_calls
        if delta.text or (delta.logprobs and not other):
            yield from self._grow(Kind.TEXT, delta.text, [_logprob(token) for token in delta.logprobs])
        if delta.refusal:
            yield from self._grow(Kind.REFUSAL, delta.refusal)
        for piece in delta.tool_calls:
            yield from self._called(piece)

    def end(self, *, whole: bool) -> Iterator[Step]:
        """The steps at the end; what goes on then is cut where the answer is not whole."""
        said = any(item.type != _THOUGHT for item in self.items)
        if whole and not said:  # an answer of no words is still an answer
            yield from self._grow(Kind.TEXT, "")
        for item in self.items:
            if item.status == "in_progress":
                yield from _done(item, "completed" if whole else "incomplete")

    def cut(self) -> None:
        """What goes on is not going to be whole, and nobody needs to be told how."""
        for item in self.items:
            if item.status == "in_progress":
                item.status = "incomplete"

    def _grow(self, kind: Kind, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Iterator[Step]:
        wanted = _THOUGHT if kind is Kind.SUMMARY else _MESSAGE
        if self._run is not None and self._run.item.type != wanted:
            yield from self._closed()
        if self._run is None:
            item = self._add(wanted)
            yield Step(Change.ITEM_ADDED, item)
        else:
            item = self._run.item
        run = self._run
        if run is None or run.kind is not kind:
            if run is not None:
                yield Step(Change.RUN_DONE, item, run)
            run = self._run = _run(kind, item)
            yield Step(Change.RUN_ADDED, item, run)
        run.grow(text)
        run.logprobs += logprobs
        if text or logprobs:
            yield Step(Change.GROWN, item, run, text, logprobs)

    def _called(self, piece: generation.ToolCallDelta) -> Iterator[Step]:
        item = self._calls.get(piece.index)
        if item is None:
            yield from self._closed()
            item = self._calls[piece.index] = self._add(_CALL)
            namespace, name = self._grouped.get(piece.name, ("", piece.name))
            item.called = {"call_id": piece.id, "name": name} | ({"namespace": namespace} if namespace else {})
            item.signature = piece.signature
            yield Step(Change.ITEM_ADDED, item)
            yield Step(Change.RUN_ADDED, item, _run(Kind.ARGUMENTS, item))
        item.signature = piece.signature or item.signature
        run = item.runs[0]
        run.grow(piece.arguments_json)
        if piece.arguments_json:
            yield Step(Change.GROWN, item, run, piece.arguments_json)

    def _closed(self) -> Iterator[Step]:
        """The end of the message or thought that goes on, if any: clients have one of them at a time."""
        if self._run is not None:
            yield from _done(self._run.item, "completed")
            self._run = None

    def _add(self, kind: str) -> Item:
        item = Item(kind, f"{_PREFIXES[kind]}_{self._identity}_{len(self.items)}", len(self.items))
        self.items.append(item)
        return item


def _run(kind: Kind, item: Item) -> Run:
    run = Run(kind, item, len(item.runs))
    item.runs.append(run)
    return run


def _done(item: Item, status: str) -> Iterator[Step]:
    item.status = status
    yield Step(Change.RUN_DONE, item, item.runs[-1])
    yield Step(Change.ITEM_DONE, item)


def _logprob(token: generation.TokenLogprob) -> dict[str, Any]:
    return {**_token(token), "top_logprobs": [_token(top) for top in token.top]}


def _token(token: generation.TokenLogprob | generation.TopLogprob) -> dict[str, Any]:
    # Here bytes are a list even where they are not known.
    return {**shapes.token(token), "bytes": list(token.token_bytes)}
