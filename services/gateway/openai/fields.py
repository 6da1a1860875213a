"""Reading JSON bodies and the members of their objects, with the path of every mistake.

orjson reads them: besides being faster it is strict where json is not. NaN, lone surrogates, invalid UTF-8 and nesting
beyond 1024 levels are errors with a position. Of a key given twice the last counts, as everywhere. Integers beyond 64
bits become doubles, which no field of the contract could carry either.
"""

import math
from collections.abc import Iterator, Mapping, Sized
from typing import NoReturn

import orjson
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure

INT64 = (-(1 << 63), (1 << 63) - 1)
UINT32 = (0, (1 << 32) - 1)
# Of objects, and of arrays whose items are read one by one. The edge takes bodies of 32 MiB (infrastructure/envoy), and
# nobody else is served while millions of items are read that are refused in the end.
MAX_ITEMS = 1 << 14

_EXACT = 1 << 53


def refuse(path: str, message: str) -> NoReturn:
    """Refuse the request for what stands at `path`; the message goes on after the path.

    Raises:
        Failure: SPEC_INVALID.
    """
    raise Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{path}` {message}" if path else message, field=path)


def json_body(body: bytes) -> object:
    """A body as JSON.

    Raises:
        Failure: SPEC_INVALID, with line and column.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The message alone: the exception also holds the whole body, and is not chained for that reason.
        problem = f"line {error.lineno}, column {error.colno}: {error.msg}"
    return refuse("", f"The body is not valid JSON ({problem}).")


class Fields:
    """The members of one JSON object. A null counts as absent; every wrong type is refused with its path."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            refuse(path, expected("an object", value) if path else f"The body {expected('a JSON object', value)}")
        bounded(value, path, MAX_ITEMS)
        self._members: Mapping[str, object] = value
        self._path = path

    def path(self, name: str = "") -> str:
        """The path of a member, or of the object itself."""
        return f"{self._path}.{name}" if self._path and name else self._path or name

    def get(self, name: str) -> object | None:
        """The member as it is."""
        return self._members.get(name)

    def names(self) -> Iterator[str]:
        """Names of all members that are present, in order."""
        return (name for name, value in self._members.items() if value is not None)

    def any_of(self, names: frozenset[str]) -> bool:
        """Whether one of these members may be there: most of what can be asked for mostly is not."""
        return not names.isdisjoint(self._members)

    def require(self, name: str) -> object:
        """The member, which must be present."""
        value = self.get(name)
        if value is None:
            refuse(self.path(name), "is required.")
        return value

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.get(name)
        return value if value is None or isinstance(value, str) else self._wrong(name, "a string")

    def required_text(self, name: str) -> str:
        """A string that must be present."""
        value = self.require(name)
        return value if isinstance(value, str) else self._wrong(name, "a string")

    def required_id(self, name: str) -> str:
        """A string that must be present and not empty."""
        return self.required_text(name) or refuse(self.path(name), "must not be empty.")

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """One of a few strings."""
        value = self.text(name)
        if value is not None and value not in allowed:
            refuse(self.path(name), f"must be one of {', '.join(allowed)}.")
        return value

    def boolean(self, name: str) -> bool | None:
        """true or false."""
        value = self.get(name)
        return value if value is None or isinstance(value, bool) else self._wrong(name, "true or false")

    def integer(self, name: str, bounds: tuple[int, int] = UINT32) -> int | None:
        """An integer within what the contract can carry. What it may mean is checked for both faces alike elsewhere."""
        value = self.get(name)
        if value is None:
            return None
        # 2.0 is an integer to JSON, and some clients write it so.
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            self._wrong(name, "an integer")
        low, high = bounds
        # A double beyond 2**53 may be an integer beyond 64 bits that was rounded into the bounds.
        if not low <= value <= high or (isinstance(value, float) and abs(value) > _EXACT):
            refuse(self.path(name), f"must be an integer from {low} to {high}.")
        return int(value)

    def number(self, name: str) -> float | None:
        """A finite number."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._wrong(name, "a number")
        return float(value)

    def members(self, name: str) -> "Fields | None":
        """An object."""
        value = self.get(name)
        return None if value is None else Fields(value, self.path(name))

    def required_members(self, name: str) -> "Fields":
        """An object that must be present."""
        return Fields(self.require(name), self.path(name))

    def items(self, name: str, most: int = MAX_ITEMS) -> Iterator[tuple[str, object]]:
        """The items of an array, each with its path; none when it is absent."""
        value = self.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self._wrong(name, "an array")
        path = self.path(name)
        bounded(value, path, most)
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item

    def _wrong(self, name: str, kind: str) -> NoReturn:
        refuse(self.path(name), expected(kind, self.get(name)))


def bounded(value: Sized, path: str, most: int) -> None:
    """Refuse an array or an object that holds more than so many items, before any is looked at."""
    if len(value) > most:
        refuse(path, f"{'' if path else 'The body '}must hold at most {most} items, not {len(value)}.")


def object_text(fields: Fields, name: str) -> str:
    """An object as JSON text, order of keys kept; empty when it is absent."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, dict):
        refuse(fields.path(name), expected("an object", value))
    return json_text(value, fields.path(name))


def json_text(value: object, path: str) -> str:
    """JSON text of what was parsed from JSON."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # the writer goes 254 levels deep, the reader 1024
        refuse(path, "is nested too deeply." if path else "The body is nested too deeply.")


def expected(kind: str, value: object) -> str:
    """What stands where `kind` was expected; the value itself, which may be a prompt, is not repeated."""
    return f"must be {kind}, not {_kind(value)}."


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    kinds = {str: "a string", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return kinds[type(value)]
