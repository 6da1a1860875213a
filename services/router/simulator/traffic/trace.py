"""Reading traces of the two formats that are public: Azure's CSV and Mooncake's JSON lines, packed by gzip or not."""

import csv
import datetime
import functools
import gzip
import pathlib
from collections.abc import Iterable, Iterator

import orjson

from services.router.simulator.noise import Topic, mix
from services.router.simulator.traffic.request import Request

# Tokens of a block of Mooncake's `hash_ids`.
MOONCAKE_BLOCK = 512
_AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class TraceError(Exception):
    """The file is no trace that can be read; the message says where and why."""


@functools.lru_cache(maxsize=8)
def read(path: pathlib.Path) -> tuple[Request, ...]:
    """The requests of a trace in the order they came, the first at 0.

    The format is told by the first line: a JSON object is Mooncake's, a header with Azure's columns is Azure's.

    Raises:
        TraceError: the file cannot be read, or a line of it makes no sense.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if _packed(path) else path.open(encoding="utf-8") as lines:
            first = next(lines, "")
            rows = _mooncake if first.lstrip().startswith("{") else _azure
            found = sorted(rows(str(path), first, lines), key=lambda request: (request.at, request.identity))
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
    if not found:
        raise TraceError(f"{path}: there are no requests in it")
    begin = found[0].at
    return tuple(request._replace(at=request.at - begin) for request in found)


def _packed(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _mooncake(source: str, first: str, lines: Iterable[str]) -> Iterator[Request]:
    for number, line in enumerate(_after(first, lines), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            tokens = int(row["input_length"])
            whole = row.get("hash_ids", ())[: tokens // MOONCAKE_BLOCK]
            blocks = tuple(mix(Topic.BLOCK, block) for block in whole)
            yield Request(number, int(row["timestamp"]) / 1e3, tokens, int(row["output_length"]), blocks)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise TraceError(f"{source}:{number}: not a line of a Mooncake trace: {error!r}") from error


def _azure(source: str, first: str, lines: Iterable[str]) -> Iterator[Request]:
    reader = csv.DictReader(_after(first, lines))
    missing = [column for column in _AZURE_COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise TraceError(f"{source}:1: neither JSON lines nor a header with {', '.join(_AZURE_COLUMNS)}")
    for number, row in enumerate(reader, start=1):
        try:
            # Seven digits of a second, of which Python reads six.
            at = datetime.datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=datetime.UTC).timestamp()
            yield Request(number, at, int(row["ContextTokens"]), int(row["GeneratedTokens"]))
        except (TypeError, ValueError) as error:
            raise TraceError(f"{source}:{number + 1}: not a line of an Azure trace: {error}") from error


def _after(first: str, lines: Iterable[str]) -> Iterator[str]:
    yield first
    yield from lines
