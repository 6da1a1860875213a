"""The engine's arguments and environment, from the configuration."""

import difflib
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from services.config.provider import VllmProvider

# Small enough for any machine, and ready in seconds: torch.compile alone would take more than a minute. bfloat16
# is 2.5 times as fast where the CPU knows it, but on CPUs with AMX vLLM 0.32's attention answers wrongly in it.
CPU_DEFAULTS: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 2048,
    "max_num_batched_tokens": 2048,
    "max_num_seqs": 16,
    "kv_cache_memory_bytes": 256 << 20,
}

# The engine takes every domain for allowed where none is. The worker refuses addresses; this is for what it overlooks.
_NO_DOMAIN = ["nothing-is-fetched.invalid"]
# Who says how the devices are used knows better than to give all of them to each layer.
_SPLITS = {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"}
_ELSEWHERE = {"model": "model", "reasoning_parser": "reasoning_parser"}


def local_model(name: str) -> str | None:
    """The directory that a model's name means, or None where it means a model on a hub.

    Raises:
        ValueError: it is written like a directory, and there is none.
    """
    directory = pathlib.Path(name).expanduser()
    if directory.is_dir():
        return str(directory.resolve())
    if name.startswith(("/", ".", "~")):
        raise ValueError(f"the model's directory {directory.absolute()} does not exist")
    return None


def chat_template(config: VllmProvider) -> str | None:
    """The text of the chat template that is used in place of the model's own.

    Raises:
        ValueError: it cannot be read.
    """
    if not config.chat_template:
        return None
    file = pathlib.Path(config.chat_template).expanduser()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"chat_template: {file.absolute()} cannot be read: {error}") from error


def environment(config: VllmProvider, *, offline: bool, log_level: str = "WARNING") -> dict[str, str]:
    """The environment variables that have to be set before vLLM is imported."""
    variables = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": log_level,
        "OMP_NUM_THREADS": str(config.threads),
    }
    if config.devices:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(str(device) for device in config.devices)
    if offline:
        variables["HF_HUB_OFFLINE"] = "1"
    return variables


def arguments(
    config: VllmProvider,
    known: Collection[str],
    *,
    on_cpu: bool,
    drain_seconds: float,
    adapters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The engine's arguments: defaults, then the configuration's.

    Args:
        config: the provider.
        known: the arguments that this vLLM takes.
        on_cpu: whether there is no GPU.
        drain_seconds: how long running generations may finish when the engine is stopped.
        adapters: the arguments that adapters ask for.

    Raises:
        ValueError: an argument is not one, or is given elsewhere.
    """
    for name in config.engine_args:
        if name in _ELSEWHERE:
            raise ValueError(f"engine_args.{name}: it is given by the provider's `{_ELSEWHERE[name]}`")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else ""
            raise ValueError(f"engine_args.{name} is not an argument of this vLLM's engine{hint}")
    defaults: dict[str, Any] = {"shutdown_timeout": round(drain_seconds), "allowed_media_domains": _NO_DOMAIN}
    if config.reasoning_parser:
        # So that the form of an answer applies to what follows the thinking.
        defaults["reasoning_parser"] = config.reasoning_parser
    if on_cpu:
        defaults |= CPU_DEFAULTS
    elif len(config.devices) > 1 and not _SPLITS & set(config.engine_args):
        defaults["tensor_parallel_size"] = len(config.devices)
    defaults |= adapters or {}
    if "max_loras" in config.engine_args:
        defaults.pop("max_cpu_loras", None)  # the engine refuses one that is smaller
    return {name: value for name, value in defaults.items() if name in known} | config.engine_args
