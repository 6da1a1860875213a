"""What this worker says of itself, pushed to whoever watches."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator

from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.chassis.beat import until_beat
from services.workers.prefixes import Prefixes
from services.workers.provider import Provider

# Routers act on reports, so they come soon after a change; they are not worth more than 20 a second.
_SOONEST_SECONDS = 0.05
_LATEST_SECONDS = 1.0


class StatusBoard:
    """The worker's state and its provider's load."""

    def __init__(self, worker: str, kind: str) -> None:
        self.worker = worker
        self.state = worker_status.WORKER_STATE_LOADING
        self.provider: Provider | None = None
        self.kind = kind
        self.prefixes = Prefixes()
        self.emitted = 0  # events of answers
        self._loaded: float | None = None
        self._epoch = time.time_ns() // 1_000_000
        self._sequence = 0
        self._changed = asyncio.Event()

    def set_state(self, state: worker_status.WorkerState) -> None:
        """Change the state and tell the watchers."""
        self.state = state
        self.touch()

    @property
    def loaded(self) -> float:
        """How far the provider has come with loading, from 0 to 1; 0 where it does not tell."""
        return self._loaded or 0.0

    def serves(self, model: str) -> bool:
        """Whether the provider is there and serves a model of that name."""
        return self.provider is not None and any(model == one.name for one in self.provider.models)

    def loading(self, progress: float) -> None:
        """Take note of how far the provider has come with loading, from 0 to 1."""
        self._loaded = progress
        self.touch()

    def touch(self) -> None:
        """Tell the watchers that something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    def report(self) -> worker_status.WorkerStatus:
        """The status now."""
        self._sequence += 1
        status = worker_status.WorkerStatus(
            worker=self.worker,
            kind=self.kind,
            state=self.state,
            epoch=self._epoch,
            sequence=self._sequence,
            pid=os.getpid(),
            emitted=self.emitted,
        )
        if self._loaded is not None and self.state == worker_status.WORKER_STATE_LOADING:
            status.loading_progress = self._loaded
        if self.provider is not None:
            _describe(self.provider, status)
        return status

    async def watch(self, *, prefixes: bool = False) -> AsyncGenerator[worker_status.WorkerStatus, None]:
        """The status now, then on change, and at least once a second; with the prompts that came meanwhile on request.

        A watcher that comes later than they did is not told of them.
        """
        heard, loop = self.prefixes.count, asyncio.get_running_loop()
        while True:
            changed = self._changed
            status = self.report()
            if prefixes:
                status.prefixes.extend(self.prefixes.since(heard))
                heard = self.prefixes.count
            yield status
            told = loop.time()
            with contextlib.suppress(TimeoutError):  # nothing has changed: that is said, too
                async with asyncio.timeout(min(until_beat(_LATEST_SECONDS), _LATEST_SECONDS)):
                    await changed.wait()
            if (early := told + _SOONEST_SECONDS - loop.time()) > 0:
                await asyncio.sleep(early)


def _describe(provider: Provider, status: worker_status.WorkerStatus) -> None:
    load = provider.load()
    status.running = load.running
    status.waiting = load.waiting
    status.capacity = load.capacity
    if load.kv_usage is not None:
        status.kv_usage = load.kv_usage
    status.kv_capacity_tokens = load.kv_capacity_tokens
    status.queued_tokens = load.queued_tokens
    status.prefix_query_tokens = load.prefix_query_tokens
    status.prefix_hit_tokens = load.prefix_hit_tokens
    status.headroom.extend(load.headroom)
    for model in provider.models:
        status.models.add(name=model.name, context_tokens=model.context_tokens, capabilities=list(model.capabilities))
