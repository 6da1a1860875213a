"""What a PromQL expression names: its metrics, and the labels that it selects and groups by."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import promql_parser

_PARTS = ("lhs", "rhs", "expr", "param", "vector_selector")
_OF_PROMETHEUS = frozenset(("job", "instance", "process", "le"))


class Named(NamedTuple):
    """What an expression names: metrics by the selectors that stand in it, and labels."""

    metrics: frozenset[str]
    labels: frozenset[str]


def named(expression: str) -> Named:
    """What it names, without the labels that Prometheus adds.

    Raises:
        ValueError: it is no PromQL.
    """
    metrics, labels = set(), set()
    for node in _walk(promql_parser.parse(expression)):
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, f"a selector without a metric's name in {expression}"
            metrics.add(node.name)
            labels |= {matcher.name for matcher in node.matchers.matchers}
        modifier = getattr(node, "modifier", None)
        labels |= set(getattr(modifier, "labels", None) or ())
        matching = getattr(modifier, "matching", None)
        labels |= set(getattr(matching, "labels", None) or ())
    return Named(frozenset(metrics), frozenset(labels) - _OF_PROMETHEUS)


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for part in _PARTS:
        below = getattr(node, part, None)
        if below is not None:
            yield from _walk(below)
    arguments = getattr(node, "args", None)
    for argument in arguments if isinstance(arguments, list) else ():
        yield from _walk(argument)
