"""LoRA adapters: where they lie, and what the engine has to be told to hold them."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from services.config.provider import LoraAdapter

# The ranks that vLLM has room for; an adapter takes the next larger one.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Each costs memory beside the model whether it is used or not; those beyond wait in the host's memory.
_MOST_AT_ONCE = 8


def directories(adapters: Mapping[str, LoraAdapter]) -> dict[str, pathlib.Path]:
    """Where the adapters lie, by name.

    Raises:
        ValueError: a directory is missing, or no adapter.
    """
    found = {}
    for name, adapter in adapters.items():
        directory = pathlib.Path(adapter.path).expanduser().resolve()  # the engine wants an absolute path
        if not (directory / "adapter_config.json").is_file():
            problem = "has no adapter_config.json" if directory.is_dir() else "does not exist"
            raise ValueError(f"lora_adapters.{name}: the directory {directory} {problem}")
        found[name] = directory
    return found


def engine_arguments(found: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    """Arguments of an engine that holds these adapters.

    Raises:
        ValueError: an adapter's configuration cannot be read, or its rank is larger than the engine takes.
    """
    if not found:
        return {}
    rank = max(_rank(name, directory) for name, directory in found.items())
    fitting = next(room for room in _RANKS if room >= rank)
    return {
        "enable_lora": True,
        "max_loras": min(len(found), _MOST_AT_ONCE),
        "max_cpu_loras": len(found),
        "max_lora_rank": fitting,
    }


def _rank(name: str, directory: pathlib.Path) -> int:
    try:
        config = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
        ranks = [config["r"], *(config.get("rank_pattern") or {}).values()]
        rank = max(int(rank) for rank in ranks)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"lora_adapters.{name}: {directory}/adapter_config.json cannot be read: {error!r}") from error
    if not 1 <= rank <= _RANKS[-1]:
        raise ValueError(f"lora_adapters.{name}: its rank is {rank}, and the engine takes at most {_RANKS[-1]}")
    return rank
