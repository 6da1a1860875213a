"""Reading members of JSON objects, with the path of every mistake."""

import math
from collections.abc import Iterator, Mapping
from typing import NoReturn

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure

INT64 = (-(1 << 63), (1 << 63) - 1)
UINT32 = (0, (1 << 32) - 1)


def refuse(path: str, message: str) -> NoReturn:
    """Refuse the request for what stands at `path`; the message goes on after the path.

    Raises:
        Failure: SPEC_INVALID.
    """
    raise Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{path}` {message}" if path else message, field=path)


class Fields:
    """The members of one JSON object. A null counts as absent; every wrong type is refused with its path."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            refuse(path, expected("an object", value) if path else f"The body {expected('a JSON object', value)}")
        self._members: Mapping[str, object] = value
        self._path = path

    def path(self, name: str) -> str:
        """The path of a member."""
        return f"{self._path}.{name}" if self._path else name

    def get(self, name: str) -> object | None:
        """The member as it is."""
        return self._members.get(name)

    def names(self) -> Iterator[str]:
        """Names of all members that are present, in order."""
        return (name for name, value in self._members.items() if value is not None)

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
        if not low <= value <= high:
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

    def items(self, name: str) -> list[tuple[str, object]]:
        """The items of an array, each with its path; none when it is absent."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong(name, "an array")
        return [(f"{self.path(name)}[{index}]", item) for index, item in enumerate(value)]

    def _wrong(self, name: str, kind: str) -> NoReturn:
        refuse(self.path(name), expected(kind, self.get(name)))


def expected(kind: str, value: object) -> str:
    """What stands where `kind` was expected; the value itself, which may be a prompt, is not repeated."""
    return f"must be {kind}, not {_kind(value)}."


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    kinds = {str: "a string", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return kinds[type(value)]
