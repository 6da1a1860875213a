"""What pydantic finds wrong with a configuration, told to the person who wrote the file."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Location = tuple[str | int, ...]

# Pydantic's own words for these name types of Python.
_MAPPING = frozenset(("dict_type", "model_type", "model_attributes_type", "dataclass_type"))
_NUMBER = frozenset(("int_parsing", "int_type", "int_from_float", "float_parsing", "float_type"))
_BOOLEAN = frozenset(("bool_parsing", "bool_type"))
_LIST = frozenset(("list_type", "tuple_type", "set_type", "frozen_set_type"))


class Misfit(ValueError):
    """A value that does not fit another part of the file: `where` it stands, from the validated model's own place."""

    def __init__(self, message: str, *where: str | int) -> None:
        super().__init__(message)
        self.where: Location = where


def meant(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the one that it is nearly, or those that there are."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(names)}"


def place(detail: Any) -> Location:
    """Where the mistake is: a `Misfit` knows better than the validator that has found it."""
    error = detail.get("ctx", {}).get("error")
    return (*detail["loc"], *(error.where if isinstance(error, Misfit) else ()))


def worth_telling(details: Sequence[Any], stands: Callable[[Location], bool]) -> list[Any]:
    """The mistakes less those that only follow from another one; `stands` is whether a location is one of the file."""
    # A bad item also makes its list too short: only the inner mistake is worth telling.
    inner = [d for d in details if not any(_inside(other["loc"], d["loc"]) for other in details)]
    # Where a value may be of several types and is wrong as one of them, that it is none of the others says nothing.
    branches = [d for d in inner if not stands(d["loc"])]
    better = {d["loc"][:-1] for d in branches if not d["type"].endswith("_type")}
    idle = [d for d in branches if d["type"].endswith("_type") and d["loc"][:-1] in better]
    return [d for d in inner if d not in idle]


def said(detail: Any) -> str:
    """What is wrong with a value, less pydantic's own words where they say nothing to who wrote the file."""
    context = detail.get("ctx", {})
    tag = context.get("discriminator", "").strip("'")
    if detail["type"] == "union_tag_not_found":
        return f"`{tag}` is required"
    if detail["type"] == "union_tag_invalid":
        near = _near(context["tag"], context["expected_tags"])
        return f"`{tag}` is {context['tag']!r}, and must be one of {context['expected_tags']}{near}"
    if detail["type"] in _MAPPING:
        return "must be a mapping, such as `{name: value}`"
    if detail["type"] in _LIST:
        return "must be a list, such as `[one, two]`"
    if detail["type"] in _NUMBER:
        whole = "whole " if detail["type"].startswith("int") else ""
        unit = " of seconds, without a unit, such as `60`" if str(detail["loc"][-1]).endswith("seconds") else ""
        return f"must be a {whole}number{unit}"
    if detail["type"] in _BOOLEAN:
        return "must be true or false"
    if detail["type"] == "too_short":
        return f"must have at least {context['min_length']}, and has {context['actual_length']}"
    if detail["type"] == "value_error":
        return str(context["error"])
    near = _near(detail.get("input"), context["expected"]) if detail["type"] == "literal_error" else ""
    return f"{str(detail['msg']).replace('Input should be', 'must be', 1)}{near}"


def _near(given: object, quoted: str) -> str:
    """The one of some words in quotes that a word nearly is. That word is not repeated: it may be a secret."""
    close = difflib.get_close_matches(str(given), re.findall(r"'([^']*)'", quoted), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _inside(inner: Location, outer: Location) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer
