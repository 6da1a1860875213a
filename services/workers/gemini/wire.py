"""JSON of the wire, read even where it is not quite valid."""

import json

import orjson


def loads(data: bytes) -> object:
    """The value; None where it cannot be read.

    Half characters and NaN, which orjson refuses, are taken as they are.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):
        return None


def text(value: object) -> str:
    """A value that was read above, as valid JSON text.

    Raises:
        ValueError: where it nests too deep.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # half a character, an integer of more than 64 bits, or many levels
        pass
    try:
        return json.dumps(value)
    except RecursionError:
        raise ValueError from None


def words(value: object) -> str:
    """A text, whatever was there: empty where it was none."""
    return value if isinstance(value, str) else ""
