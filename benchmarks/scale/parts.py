"""What is grown in each part of the measurement, and what is asked of the mesh meanwhile."""

import dataclasses
from collections.abc import Mapping, Sequence

from benchmarks.measure import Load
from benchmarks.scale.window import Streams

# Enough for two shared cores to carry with room to spare, whoever carries it.
RATE = 1600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """How many processes of each role a mesh has."""

    gateways: int = 1
    routers: int = 1
    workers: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One place on the way up; `size` is of what is grown."""

    size: int
    label: str
    shape: Shape
    load: Streams | Load


def _named(count: int, what: str) -> str:
    return f"{count} {what}" if count > 1 else f"1 {what.removesuffix('s')}"


def _gateways(count: int, load: Streams | Load) -> Point:
    return Point(count, _named(count, "gateways"), Shape(gateways=count), load)


def _workers(count: int, load: Streams | Load) -> Point:
    return Point(count, _named(count, "workers"), Shape(workers=count), load)


_ASKING = Load("requests", 16)
_GATEWAYS, _WORKERS, _STREAMS = (1, 2, 4), (1, 4, 16, 64), (1, 16, 64, 256, 1000, 4000)

PARTS: Mapping[str, Sequence[Point]] = {
    "streams": [Point(each, _named(each, "streams"), Shape(), Streams(each, RATE)) for each in _STREAMS],
    "gateways, each with the same load": [_gateways(each, Streams(64 * each, RATE * each)) for each in _GATEWAYS],
    "gateways, the same load in all": [_gateways(each, Streams(128, 2 * RATE)) for each in _GATEWAYS],
    "gateways, requests": [_gateways(each, _ASKING) for each in _GATEWAYS],
    "routers, requests": [
        Point(each, _named(each, "routers"), Shape(gateways=2, routers=each), _ASKING) for each in (1, 2)
    ],
    "workers": [_workers(each, Streams(64, RATE)) for each in _WORKERS],
    "workers, requests": [_workers(each, _ASKING) for each in _WORKERS],
}

# How many there are, and how long a stream is silent: a client that reads along, and one that hardly gets anything.
MEMORY: Mapping[str, Streams] = {
    "256 streams, a token every 80 ms": Streams(256, 3200.0),
    "1000 streams, a token every 7.5 s": Streams(1000, 1000 / 7.5),
    "4000 streams, a token every 7.5 s": Streams(4000, 4000 / 7.5),
}
