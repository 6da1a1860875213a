"""JSON values of the wire, as texts."""

import json

import orjson


def text(value: object) -> str:
    """A value that was read, as valid JSON text.

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
