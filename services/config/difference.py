"""What differs between two configurations, key by key, secrets unseen."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pydantic

from services.config.mesh import MeshConfig

_HIDDEN = "***"
_ABSENT = "(not there)"
# Arguments of an engine have no types of ours, and some are secrets, such as `hf_token`.
_SECRET = re.compile(r"(?i)(.*[_-])?(token|key|secret|password)s?")


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One key that differs: its path with dots, and what it was and is, as people write it."""

    path: str
    before: str
    after: str


def shown(config: MeshConfig) -> dict[str, Any]:
    """The whole configuration with its defaults, as plain data; secrets are three stars."""
    plain = _plain(config)
    assert isinstance(plain, dict)
    return plain


def between(old: MeshConfig, new: MeshConfig) -> tuple[Difference, ...]:
    """Every key that differs, by path. Models and operators are told apart by name, other members of lists by place."""
    before, after = dict(_leaves(old, "")), dict(_leaves(new, ""))
    paths = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    return tuple(Difference(path, _told(before.get(path)), _told(after.get(path))) for path in paths)


def _told(leaf: Any) -> str:
    if leaf is None:
        return _ABSENT
    value = leaf[0]
    if isinstance(value, pydantic.SecretStr):
        return _HIDDEN
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _leaves(value: Any, path: str) -> Any:
    """Pairs of a path and what is there, in a tuple of its own so that nothing there is not taken for null."""
    for key, inner in _members(value):
        yield from _leaves(inner, f"{path}.{key}" if path else key)
    if not _members(value):
        yield path, (value,)


def _members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, pydantic.BaseModel):
        return [(name, getattr(value, name)) for name in type(value).model_fields]
    if isinstance(value, Mapping):
        return [(str(key), _guarded(key, inner)) for key, inner in value.items()]
    if isinstance(value, (tuple, list)):
        named = [getattr(each, "name", None) for each in value]
        keys = named if all(named) and len(set(named)) == len(named) else [str(index) for index in range(len(value))]
        return [(str(key), inner) for key, inner in zip(keys, value, strict=True)]
    return []


def _guarded(key: object, value: Any) -> Any:
    """A value of a mapping whose names the file makes up: a secret, if it is called one."""
    secret = isinstance(value, str) and _SECRET.fullmatch(str(key)) is not None
    return pydantic.SecretStr(value) if secret else value


def _plain(value: Any) -> Any:
    if isinstance(value, pydantic.SecretStr):
        return _HIDDEN
    if isinstance(value, pydantic.BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(_guarded(key, inner)) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
