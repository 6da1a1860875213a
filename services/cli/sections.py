"""What a change of the configuration is about: sections, compared without being kept."""

import hashlib
import json
from typing import Any

from services.config import fixed
from services.config.mesh import MeshConfig

# Taken up by a running edge; the rest of its section is not.
_LIVE = ("limits", "tls", "cors_origins", "hosts")
_BOUND = {"limits": ("connections",)}
# What loaders read, and follow no reload.
_LOADERS = ("retention_months", "replay_hours")
FIXED = frozenset((*fixed.KEYS, *fixed.SECTIONS))


def of(config: MeshConfig) -> dict[str, str]:
    """For each section that processes read at their start: a digest of its content, less secrets.

    Those are all but what `hybrid reload` changes in a running edge, router or gateway.
    """
    content: dict[str, Any] = config.model_dump(mode="json")
    edge = content.pop("edge")
    found = {key: content[key] for key in ("log", *fixed.SECTIONS)}
    for name in fixed.KEYS:
        section, key = name.split(".")
        found[name] = content[section][key]
    found |= {f"ledger.{key}": content["ledger"][key] for key in _LOADERS}
    found |= {f"providers.{name}": value for name, value in content["providers"].items()}
    found |= {f"edge.{name}": value for name, value in edge.items() if name not in _LIVE}
    found |= {f"edge.{name}.{key}": edge[name][key] for name, keys in _BOUND.items() for key in keys}
    found["edge.tls"] = edge["tls"] is not None
    return {name: _digest(value) for name, value in found.items()}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def changed(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """Names of the sections that are not what they were, those that are new, and those that are gone."""
    return tuple(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))
