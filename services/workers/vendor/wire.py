"""JSON of the wire, read even where it is not quite valid."""

import json

import orjson


def loads(data: bytes) -> object:
    """The value; None where it cannot be read.

    Half characters and NaN, which orjson refuses and some servers write, are taken as they are.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
