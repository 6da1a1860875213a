"""Building the engine from its configuration."""

import dataclasses
import difflib
import logging
import os
import pathlib
from collections.abc import Collection
from typing import Any

from services.config.provider import VllmProvider
from services.workers.vllm import compat, lifeline
from services.workers.vllm.load import EngineStats, stat_logger

# Small enough for any machine, and ready in seconds: torch.compile alone would take more than a minute. bfloat16
# is 2.5 times as fast where the CPU knows it, but on CPUs with AMX vLLM 0.32's attention answers wrongly in it.
_CPU_DEFAULTS: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 2048,
    "max_num_batched_tokens": 2048,
    "max_num_seqs": 16,
    "kv_cache_memory_bytes": 256 << 20,
}

# How many generations are taken in for each that can run. What waits longer is better off on another worker.
_QUEUE_FACTOR = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """An engine that is up, and the constants that are asked for often."""

    api: compat.Api
    llm: Any
    stats: EngineStats
    context_tokens: int
    capacity: int
    admitted: int
    """Most generations at once, running or waiting; 0 is no limit."""
    kv_capacity_tokens: int
    sampling_defaults: dict[str, Any]
    """What the model's own generation config says."""

    def stop(self, drain_seconds: float) -> None:
        """Let running generations finish, end the engine's process and wait for it. Blocks."""
        self.llm.shutdown(drain_seconds)
        # AsyncLLM stops itself once more when it is collected, which at the interpreter's end only makes a traceback.
        self.llm.shutdown = _nothing


def build(config: VllmProvider, *, drain_seconds: float) -> Engine:
    """Build the engine. Blocks for seconds on a CPU, for minutes with a large model: call it in a thread.

    The thread must live as long as the engine, since the engine dies with it (asyncio.to_thread's does).

    Raises:
        ValueError: the configuration cannot be used.
        Exception: whatever vLLM says when it cannot load the model.
    """
    model = local_model(config.model)
    os.environ.update(environment(config, offline=model is not None))
    api = compat.load()
    on_cpu = api.platform.is_cpu()
    if on_cpu:
        # One process for the engine instead of two. It does not move the engine into this one.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    known = {field.name for field in dataclasses.fields(api.AsyncEngineArgs)}
    given = arguments(config, known, on_cpu=on_cpu, drain_seconds=drain_seconds)
    vllm_config = api.AsyncEngineArgs(model=model or config.model, **given).create_engine_config()
    scheduler = vllm_config.scheduler_config
    if getattr(scheduler, "max_num_queued_reqs", 0) is None and "max_num_queued_reqs" not in config.engine_args:
        scheduler.max_num_queued_reqs = _QUEUE_FACTOR * scheduler.max_num_seqs
    if on_cpu:
        # A forked engine is up twice as fast as a spawned one. create_engine_config() has just set `spawn`.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
    lifeline.arm_forks(secluded=on_cpu and model is not None and _alone(vllm_config.parallel_config))
    stats = EngineStats()
    llm = api.AsyncLLM.from_vllm_config(vllm_config, stat_loggers=[stat_logger(api.StatLoggerBase, stats)])
    # Templates quote the conversation when they reject it, and conversations are not logged. Not earlier: vLLM sets up
    # its logging again while the engine is built.
    logging.getLogger("vllm.renderers").setLevel(logging.ERROR)
    cache = vllm_config.cache_config
    return Engine(
        api=api,
        llm=llm,
        stats=stats,
        context_tokens=vllm_config.model_config.max_model_len,
        capacity=scheduler.max_num_seqs,
        admitted=getattr(scheduler, "max_num_queued_reqs", None) or 0,
        kv_capacity_tokens=(cache.num_gpu_blocks or 0) * cache.block_size,  # named so on a CPU too
        sampling_defaults=vllm_config.model_config.get_diff_sampling_param(),
    )


def _nothing() -> None:
    pass


def _alone(parallel: Any) -> bool:
    """Whether one process is the whole engine, so that it has nobody to reach over a network."""
    return bool(parallel.world_size == 1 and parallel.data_parallel_size == 1)


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


def environment(config: VllmProvider, *, offline: bool) -> dict[str, str]:
    """The environment variables that have to be set before vLLM is imported."""
    variables = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
        "OMP_NUM_THREADS": str(config.threads),
    }
    if config.devices:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(str(device) for device in config.devices)
    if offline:
        variables["HF_HUB_OFFLINE"] = "1"
    return variables


def arguments(config: VllmProvider, known: Collection[str], *, on_cpu: bool, drain_seconds: float) -> dict[str, Any]:
    """The engine's arguments: defaults, then the configuration's.

    Args:
        config: the provider.
        known: the arguments that this vLLM takes.
        on_cpu: whether there is no GPU.
        drain_seconds: how long running generations may finish when the engine is stopped.

    Raises:
        ValueError: an argument is not one, or is given elsewhere.
    """
    if "model" in config.engine_args:
        raise ValueError("engine_args.model: the model is given by the provider's `model`")
    for name in config.engine_args:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else ""
            raise ValueError(f"engine_args.{name} is not an argument of this vLLM's engine{hint}")
    defaults: dict[str, Any] = {"shutdown_timeout": round(drain_seconds)}
    if on_cpu:
        defaults |= _CPU_DEFAULTS
    elif len(config.devices) > 1:
        defaults["tensor_parallel_size"] = len(config.devices)
    return {name: value for name, value in defaults.items() if name in known} | config.engine_args
