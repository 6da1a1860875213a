"""The generations of one request, one for each prompt, side by side."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.generation import Events, Generation
from services.gateway.openai import errors
from services.gateway.quota.reservation import UNLIMITED, Metered
from services.gateway.relay import Relay

# More prompts than that wait for those before them: one request is not to fill a worker.
MOST_AT_ONCE = 16

# What this API calls fields of a spec by a name of its own.
_PROMPT = ("prompt", "prompt.token_ids")
_NAMES = {"max_output_tokens": "max_tokens", "logprobs.top": "logprobs"}

# Takes the number of a prompt, and events of its generation.
Take = Callable[[int, Events], Awaitable[None]]


class _Ready(NamedTuple):
    """What a task has to say: events, a failure, or neither when there is nothing left for it to do."""

    prompt: int
    events: Events
    failure: Failure | None = None


class Batch:
    """Every prompt is accepted, placed, tried again and recorded by itself; the first failure ends them all."""

    def __init__(self, relay: Relay, calls: Sequence[Call[generation.GenerationSpec]]) -> None:
        """One of `calls` for each prompt, begun when its turn comes."""
        self.id = ""  # of the generation that is begun first; there is one as soon as there are events
        self._relay = relay
        self._calls = calls
        self._ready: asyncio.Queue[_Ready] = asyncio.Queue(MOST_AT_ONCE)
        self._running: dict[int, Generation] = {}
        self._shown: Generation | None = None
        self._over = False
        self._at_fault = "prompt"  # the path of the one that failed

    @property
    def call(self) -> Call[generation.GenerationSpec]:
        """The call for the first prompt; the others differ in their prompts alone."""
        return self._calls[0]

    @property
    def provider_model(self) -> str:
        """The provider's name of the model, as `route` has it."""
        return self._shown.provider_model if self._shown else ""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields that were left out for some prompt, as far as is known."""
        return tuple(dict.fromkeys(field for one in self._running.values() for field in one.dropped))

    @property
    def limits(self) -> Metered:
        """Where the limits of the key stand; unknown before a prompt is accepted."""
        return self._shown.limits if self._shown else UNLIMITED

    def route(self) -> inference.Route:
        """How one of the prompts is served: the one that failed, else the first with events, else the first.

        The cost is that of all prompts, once none of them is to come or under way.
        """
        if self._shown is None:
            return inference.Route()
        route = self._shown.route()
        routes = [running.route() for running in self._running.values()]
        route.ClearField("cost_nano_usd")
        if (self._over or len(routes) == len(self._calls)) and all(one.HasField("cost_nano_usd") for one in routes):
            route.cost_nano_usd = sum(one.cost_nano_usd for one in routes)
        return route

    def param_of(self, field: str) -> str:
        """What the caller calls a field of a spec; of several prompts, which of them it is."""
        return self._at_fault if field in _PROMPT else _NAMES.get(field) or errors.param_of(field)

    async def run(self, take: Take) -> None:
        """Run all to their end, handing events to `take`, one call at a time and in order for each prompt.

        Raises:
            Failure: why there is no answer to a prompt, or no whole one.
        """
        try:
            if len(self._calls) == 1:
                await self._generate(0, take)
                return
            async with asyncio.TaskGroup() as tasks:
                prompts = iter(range(len(self._calls)))
                busy = min(len(self._calls), MOST_AT_ONCE)
                taker = asyncio.current_task()
                for _ in range(busy):
                    tasks.create_task(self._work(prompts, taker))
                await self._pass_on(take, busy)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._over = True

    async def _pass_on(self, take: Take, busy: int) -> None:
        """Hand over what tasks have ready, until none of so many has anything left to do."""
        begun = False
        while busy:
            ready = await self._ready.get()
            if not begun or ready.failure is not None:
                begun, self._shown = True, self._running.get(ready.prompt, self._shown)
            if ready.failure is not None:
                self._at_fault = f"prompt[{ready.prompt}]"
                raise ready.failure
            if ready.events:
                await take(ready.prompt, ready.events)
            else:
                busy -= 1

    async def _work(self, prompts: Iterator[int], taker: "asyncio.Task[None] | None") -> None:
        prompt = 0
        for prompt in prompts:
            try:
                await self._generate(prompt, self._hand_over)
            except Failure as failure:
                # Raised by whoever takes: being cancelled in the middle of a write would break the stream.
                await self._ready.put(_Ready(prompt, [], failure))
                return
            except asyncio.CancelledError as evicted:
                # With a reason it is meant for whoever does not take, and he would wait for this task in vain.
                if taker is not None and evicted.args:
                    taker.cancel(*evicted.args)
                raise
        await self._ready.put(_Ready(prompt, []))

    async def _hand_over(self, prompt: int, events: Events) -> None:
        await self._ready.put(_Ready(prompt, events))

    async def _generate(self, prompt: int, take: Take) -> None:
        running = self._running[prompt] = await self._relay.begin(self._calls[prompt])
        if self._shown is None:
            self._shown, self.id = running, running.id
        async with contextlib.aclosing(running.events()) as batches:
            async for events in batches:
                await take(prompt, events)
