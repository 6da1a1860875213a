"""Building the engine from its configuration."""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from services.config.provider import VllmProvider
from services.workers.vllm import adapters, compat, failures, lifeline, parsing
from services.workers.vllm.arguments import CPU_DEFAULTS, arguments, chat_template, environment, local_model
from services.workers.vllm.load import EngineStats, stat_logger
from services.workers.vllm.progress import Progress

# How many generations are taken in for each that can run. What waits longer is better off on another worker.
_QUEUE_FACTOR = 4
# They quote the conversation when a template rejects it or an answer cannot be read, and conversations are not logged.
_LOGS_THAT_QUOTE = ("vllm.renderers", "vllm.tool_parsers", "vllm.reasoning", "vllm.parser")


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """An engine that is up, and the constants that are asked for often."""

    api: compat.Api
    llm: Any
    stats: EngineStats
    model_config: Any
    context_tokens: int
    capacity: int
    admitted: int
    """Most generations at once, running or waiting; 0 is no limit."""
    kv_capacity_tokens: int
    sampling_defaults: dict[str, Any]
    """What the model's own generation config says."""
    chat_template: str | None = None
    """In place of the model's own."""
    parser_class: Any = None
    """vLLM's parsers for tool calls and thinking; None where everything is text."""
    end_tokens: Collection[int] = ()
    """Tokens that end an answer."""
    adapters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The engine's LoRARequest of each adapter, by the name under which it is served."""
    traced: bool = False
    """Whether it sends spans of its own, as `engine_args.otlp_traces_endpoint` says."""
    dead: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    """Set once the engine has said that it is dead."""

    @contextlib.contextmanager
    def failures(self, *, model: str, field: str, prompt: str = "messages") -> Iterator[None]:
        """Turn what the engine raises into failures; `field` is what is at fault where it does not tell."""
        try:
            yield
        except self.api.errors.all as error:
            if isinstance(error, self.api.errors.dead):
                self.dead.set()
            raise failures.from_engine(error, self.api.errors, model=model, field=field, prompt=prompt) from error

    @property
    def sees_images(self) -> bool:
        """Whether the model looks at pictures."""
        return compat.sees_images(self.llm.renderer)

    @property
    def shortens_vectors(self) -> bool:
        """Whether the model's vectors can be cut short and still mean something."""
        return bool(getattr(self.model_config, "is_matryoshka", False))

    def stop(self, drain_seconds: float) -> None:
        """Let running generations finish, end the engine's process and wait for it. Blocks."""
        self.llm.shutdown(drain_seconds)
        # AsyncLLM stops itself once more when it is collected, which at the interpreter's end only makes a traceback.
        self.llm.shutdown = _nothing


def build(config: VllmProvider, *, drain_seconds: float, progress: Progress) -> Engine:
    """Build the engine. Blocks for seconds on a CPU, for minutes with a large model: call it in a thread.

    The thread must live as long as the engine, since the engine dies with it (asyncio.to_thread's does).

    Raises:
        ValueError: the configuration cannot be used.
        Exception: whatever vLLM says when it cannot load the model.
    """
    model = local_model(config.model)
    template = chat_template(config)
    found = adapters.directories(config.lora_adapters)
    log_level = os.environ.get("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.update(environment(config, offline=model is not None, log_level=log_level))
    api = compat.load()
    progress.reach(Progress.IMPORTED)
    on_cpu = api.platform.is_cpu()
    if on_cpu:
        # One process for the engine instead of two. It does not move the engine into this one.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    known = {field.name for field in dataclasses.fields(api.AsyncEngineArgs)}
    needed = adapters.engine_arguments(found)
    given = arguments(config, known, on_cpu=on_cpu, drain_seconds=drain_seconds, adapters=needed)
    vllm_config = _configured(api, config, given | {"model": model or config.model}, on_cpu=on_cpu)
    parser_class = parsing.parser_class(
        api, vllm_config.model_config, tool_parser=config.tool_parser, reasoning_parser=config.reasoning_parser
    )
    if on_cpu:
        # A forked engine is up twice as fast as a spawned one. create_engine_config() has just set `spawn`.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        if vllm_config.model_config.enforce_eager:
            compat.compile_nothing()
    lifeline.arm_forks(secluded=on_cpu and model is not None and _alone(vllm_config.parallel_config))
    stats = EngineStats()
    progress.reach(Progress.CONFIGURED)
    compat.follow_weights(progress.weights)
    llm = api.AsyncLLM.from_vllm_config(vllm_config, stat_loggers=[stat_logger(api.StatLoggerBase, stats)])
    progress.reach(Progress.LOADED)
    compat.remember_environment()
    for name in _LOGS_THAT_QUOTE:  # not earlier: vLLM sets up its logging again while the engine is built
        logging.getLogger(name).setLevel(logging.CRITICAL)
    model_config, scheduler, cache = vllm_config.model_config, vllm_config.scheduler_config, vllm_config.cache_config
    return Engine(
        api=api,
        llm=llm,
        stats=stats,
        model_config=model_config,
        context_tokens=model_config.max_model_len,
        capacity=scheduler.max_num_seqs,
        admitted=getattr(scheduler, "max_num_queued_reqs", None) or 0,
        kv_capacity_tokens=(cache.num_gpu_blocks or 0) * cache.block_size,  # named so on a CPU too
        sampling_defaults=model_config.get_diff_sampling_param(),
        chat_template=template,
        parser_class=parser_class,
        end_tokens=compat.end_tokens(model_config, llm.get_tokenizer()),
        traced="otlp_traces_endpoint" in config.engine_args,
        adapters={
            name: api.LoRARequest(name, number, str(directory))
            for number, (name, directory) in enumerate(found.items(), start=1)
        },
    )


def _configured(api: compat.Api, config: VllmProvider, given: dict[str, Any], *, on_cpu: bool) -> Any:
    """vLLM's configuration of the engine, with what depends on the model or on other parts of it."""
    if on_cpu and "max_model_len" not in config.engine_args:
        given = given | {"max_model_len": min(CPU_DEFAULTS["max_model_len"], _longest(api, given))}
    vllm_config = api.AsyncEngineArgs(**given).create_engine_config()
    scheduler = vllm_config.scheduler_config
    if getattr(scheduler, "max_num_queued_reqs", 0) is None and "max_num_queued_reqs" not in config.engine_args:
        scheduler.max_num_queued_reqs = _QUEUE_FACTOR * scheduler.max_num_seqs
    return vllm_config


def salted(tenant: str) -> dict[str, str]:
    """What keeps a caller's prompts apart from those of others in the cache of prefixes; nothing without a caller.

    A digest, since the engine refuses some characters in a salt.
    """
    return {"cache_salt": hashlib.sha256(tenant.encode()).hexdigest()} if tenant else {}


def _longest(api: compat.Api, given: Mapping[str, Any]) -> int:
    """The longest context that the model was made for."""
    rest = {name: value for name, value in given.items() if name != "max_model_len"}
    longest: int = api.AsyncEngineArgs(**rest).create_model_config().max_model_len
    return longest


def _nothing() -> None:
    pass


def _alone(parallel: Any) -> bool:
    """Whether one process is the whole engine, so that it has nobody to reach over a network."""
    return bool(parallel.world_size == 1 and parallel.data_parallel_size == 1)
