"""What a model would say: reads a request, whichever API it came by, and answers as asked."""

import dataclasses
import io
import itertools
import json
import re
import wave
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from tests.vendors.schemas import Schema, instance

_COLOURS = ("Blue", "Green", "Red", "Yellow", "Violet")
_CITIES = ("Paris", "Oslo")
_THOUGHT = "Seventeen times twenty is 340, and seventeen times three is 51."


@dataclasses.dataclass(slots=True)
class Wish:
    """What is asked. `tools` have the schemas of their arguments, `choice` is auto, none, required or a tool's name,
    and `form` is text, object or schema."""

    question: str
    system: str = ""
    history: str = ""
    results: Sequence[str] = ()
    tools: Mapping[str, Schema] = dataclasses.field(default_factory=dict)
    choice: str = "auto"
    parallel: bool = True
    form: str = "text"
    schema: Schema = dataclasses.field(default_factory=dict)
    pictures: Sequence[bytes] = ()
    files: Sequence[bytes] = ()
    sounds: Sequence[bytes] = ()
    temperature: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    most: int | None = None
    effort: str = ""


@dataclasses.dataclass(slots=True)
class Answer:
    """What is said, token by token, and which tools are called."""

    tokens: list[str]
    calls: list[tuple[str, dict[str, Any]]]
    thought: list[str]
    finish: str


class Mind:
    """Answers. Without a seed and at any temperature but 0, no two answers to an open question are alike."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def answer(self, wish: Wish) -> Answer:
        calls = _calls(wish)
        text = "" if calls else self._text(wish)
        stopped = min((text.find(stop) for stop in wish.stop if stop in text), default=len(text))
        thought = _split(_THOUGHT) if wish.effort not in ("", "none") else []
        tokens = _split(text[:stopped])
        left = len(tokens) if wish.most is None else max(0, wish.most - len(thought))
        finish = "tool_calls" if calls else "length" if left < len(tokens) else "stop"
        return Answer(tokens[:left], calls, thought, finish)

    def _text(self, wish: Wish) -> str:
        if wish.form != "text":
            return json.dumps(_object(wish), ensure_ascii=False)
        if wish.results:
            return _told(wish.results[-1])
        if "your name" in wish.question and (told := re.search(r"Your name is (\w+)", wish.system)):
            return f"My name is {told[1]}."
        if wish.question == "Repeat your answer.":
            return wish.history.rpartition(" ")[2]
        if "capital of France" in wish.question:
            return "The capital of France is Paris."
        if "\n\nRepeat exactly" in wish.question:
            return wish.question.partition("\n\n")[0]
        if told := re.search(r"(?:Repeat|Count)[^:]*: (.*)", wish.question):
            return told[1]
        if wish.pictures:
            return _colour(wish.pictures[0])
        if wish.files and (found := re.search(rb"\((.*)\) Tj", wish.files[0])):
            return found[1].decode()
        if wish.sounds:
            return _heard(wish.sounds[0])
        if "colour" in wish.question:
            return self._drawn(wish)
        return "391" if "17 times 23" in wish.question else "Hello there, how are you?"

    def _drawn(self, wish: Wish) -> str:
        number = next(self._turns) if wish.seed is None else wish.seed
        return _COLOURS[0 if wish.temperature == 0 else number % len(_COLOURS)]


def _calls(wish: Wish) -> list[tuple[str, dict[str, Any]]]:
    """Calls of one tool: one for each city that the question names, if more than one may be made at once."""
    if not wish.tools or wish.choice == "none" or wish.results:
        return []
    name = _wanted(wish)
    if name is None:
        return []
    cities = [city for city in _CITIES if city in wish.question] or [_CITIES[0]]
    several = wish.parallel and wish.choice in ("auto", "required")
    return [(name, instance(wish.tools[name], wish.question, city)) for city in cities[: None if several else 1]]


def _wanted(wish: Wish) -> str | None:
    """The tool to call: the one that must be, else the first that the question speaks of."""
    if wish.choice not in ("auto", "required"):
        return wish.choice
    words = set(re.findall(r"[a-z]{4,}", wish.question.lower()))
    spoken_of = (name for name in wish.tools if words & {part.lower() for part in re.findall(r"[A-Z]?[a-z]{3,}", name)})
    return next(spoken_of, next(iter(wish.tools)) if wish.choice == "required" else None)


def _object(wish: Wish) -> Any:
    """What fits the schema; without one, an object with the keys that the question puts in quotes."""
    if wish.form == "schema":
        return instance(wish.schema, wish.question, _CITIES[0])
    return dict.fromkeys(re.findall(r"'(\w+)'", wish.question) or ["city"], _CITIES[0])


def _told(result: str) -> str:
    """What a tool says, in a sentence."""
    try:
        return f"It is {json.loads(result)['degrees']} degrees."
    except (ValueError, KeyError, TypeError):
        return f"The tool says: {result}"


def _heard(sound: bytes) -> str:
    with wave.open(io.BytesIO(sound)) as recording:
        return f"A recording of {recording.getnframes() / recording.getframerate():.1f} seconds."


def _colour(picture: bytes) -> str:
    """The strongest of the first pixel's colours; the picture is a PNG with one piece of data."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n"), "not the picture that was sent"
    start = picture.index(b"IDAT") + 4
    red, green, blue = zlib.decompress(picture[start:-16])[1:4]
    return max((red, "Red"), (green, "Green"), (blue, "Blue"))[1]


def _split(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def vector(content: str, dimensions: int) -> list[float]:
    """Always the same for the same content."""
    seeds = itertools.count(zlib.crc32(content.encode()))
    return [zlib.crc32(str(next(seeds)).encode()) / (1 << 31) - 1 for _ in range(dimensions)]
