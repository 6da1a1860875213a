"""Fakes that several suites share: a scripted provider, a worker around it, the gateway's end of a session."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.rpc import status_pb2
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc
from prometheus_client import CollectorRegistry

from services.chassis.channel import open_channel
from services.chassis.deadline import to_duration
from services.chassis.server import Server, open_server
from services.workers import service
from services.workers.execution import Executor
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from services.workers.status import StatusBoard
from tests.loop_clock import loop_clock

Events = AsyncGenerator[generation.GenerationEvent, None]
Script = Callable[[], Events]
EmbedScript = Callable[[embedding.EmbeddingSpec, AttemptContext], Awaitable[Embedded]]


def started() -> generation.GenerationEvent:
    """The first event."""
    return generation.GenerationEvent(started=generation.Started(provider_model="scripted"))


def delta(text: str) -> generation.GenerationEvent:
    """A piece of text."""
    return generation.GenerationEvent(delta=generation.Delta(text=text, tokens=1))


def finished(output_tokens: int = 1) -> generation.GenerationEvent:
    """The last event."""
    usage = generation.Usage(input_tokens=1, output_tokens=output_tokens)
    return generation.GenerationEvent(
        finished=generation.Finished(reasons=[generation.FINISH_REASON_STOP], usage=usage)
    )


def saying(*events: generation.GenerationEvent) -> Script:
    """A script that says these events and ends."""

    async def script() -> Events:
        for event in events:
            yield event

    return script


def spec(script: str = "", text: str = "hello") -> generation.GenerationSpec:
    """A spec for the scripted provider; `script` names what it is to do."""
    part = conversation.Part(text=text)
    return generation.GenerationSpec(
        model="scripted", messages=[conversation.Message(role=conversation.ROLE_USER, parts=[part])], user=script
    )


class ScriptedProvider:
    """Does what the script named by the spec's `user` or prompt says, and notes which scripts have been closed."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts = scripts
        self.embeds: dict[str, EmbedScript] = {}
        self.contexts: list[AttemptContext] = []
        self.running = 0
        self.most_running = 0
        self.closed: list[str] = []
        self.last_words: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def models(self) -> Sequence[ServedModel]:
        able = (model.CAPABILITY_CHAT, model.CAPABILITY_COMPLETIONS, model.CAPABILITY_EMBEDDINGS)
        return [ServedModel("scripted", 1000, able)]

    @property
    def continues(self) -> bool:
        return True

    def load(self) -> Load:
        return Load(running=self.running)

    async def died(self) -> str:
        return await self.last_words

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        self.running += 1
        try:
            return await self.embeds.get(spec.user, _embedded)(spec, context)
        finally:
            self.running -= 1
            self.closed.append(spec.user)

    async def generate(self, spec: generation.GenerationSpec, context: AttemptContext) -> Events:
        self.contexts.append(context)
        name = spec.prompt.text or spec.user
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            async with contextlib.aclosing(self.scripts[name]()) as events:
                async for event in events:
                    yield event
        finally:
            self.running -= 1
            self.closed.append(name)


async def _embedded(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    vectors = [embedding.Embedding(values=[1.0]) for _ in spec.inputs]
    return Embedded(vectors, generation.Usage(input_tokens=1), "scripted")


class RunningWorker:
    """A worker that serves on a socket, with everything a test wants to look at."""

    def __init__(self, *, address: str, server: Server, executor: Executor, board: StatusBoard) -> None:
        self.address = address
        self.server = server
        self.executor = executor
        self.board = board
        self.registry = CollectorRegistry()


@contextlib.asynccontextmanager
async def running_worker(address: str, provider: Any, *, kind: str = "scripted") -> AsyncIterator[RunningWorker]:
    """The real worker service around a provider; None leaves it loading."""
    registry = CollectorRegistry()
    board = StatusBoard(f"{kind}-0", kind)
    executor = Executor(board, registry)
    servicer = service.WorkerServicer(executor, board)
    async with open_server(
        address,
        lambda server: worker_grpc.add_WorkerServiceServicer_to_server(servicer, server),
        [service.NAME],
        registry,
        endless=service.ENDLESS,
    ) as server:
        if provider is not None:
            executor.begin_serving(provider)
            await server.mark_serving()
        running = RunningWorker(address=address, server=server, executor=executor, board=board)
        running.registry = registry
        yield running


class GatewaySession:
    """The gateway's end of a session: sends commands and sorts what comes back by attempt."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.messages: list[worker.SessionResponse] = []
        self.ended: asyncio.Future[grpc.StatusCode] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Condition()

    async def start(self, *attempts: tuple[str, str], credit_bytes: int = 0, seconds: float | None = None) -> None:
        """Begin attempts, given as (attempt id, script), in one message."""
        commands = []
        for attempt_id, script in attempts:
            start = session.StartAttempt(attempt_id=attempt_id, spec=spec(script), credit_bytes=credit_bytes)
            if seconds is not None:
                start.time_left.CopyFrom(to_duration(seconds))
            commands.append(session.SessionCommand(start=start))
        await self.say(*commands)

    async def cancel(self, *attempt_ids: str) -> None:
        """Cancel attempts."""
        await self.say(*(session.SessionCommand(cancel=session.CancelAttempt(attempt_id=a)) for a in attempt_ids))

    async def grant(self, attempt_id: str, size: int) -> None:
        """Grant credit."""
        await self.say(session.SessionCommand(credit=session.GrantCredit(attempt_id=attempt_id, bytes=size)))

    async def say(self, *commands: session.SessionCommand) -> None:
        """Send commands in one message."""
        await self.call.write(worker.SessionRequest(commands=commands))

    def events(self, attempt_id: str) -> list[generation.GenerationEvent]:
        """What an attempt has said so far."""
        return [
            item.generation
            for message in self.messages
            for item in message.events
            if item.attempt_id == attempt_id and item.HasField("generation")
        ]

    def text(self, attempt_id: str) -> str:
        """The text of an attempt so far."""
        return "".join(event.delta.text for event in self.events(attempt_id))

    def statuses(self, attempt_id: str) -> list[status_pb2.Status]:
        """The statuses of an attempt so far; at most one, where the worker keeps to the contract."""
        return [
            item.status
            for message in self.messages
            for item in message.events
            if item.attempt_id == attempt_id and item.HasField("status")
        ]

    def over(self, attempt_id: str) -> bool:
        """Whether an attempt has ended."""
        events = self.events(attempt_id)
        return bool(self.statuses(attempt_id)) or bool(events and events[-1].HasField("finished"))

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait, for half a minute at most, until messages have made something true."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(fact)

    async def outcome(self, attempt_id: str) -> status_pb2.Status | None:
        """Wait for the end of an attempt: its status, or None where it finished."""
        await self.until(lambda: self.over(attempt_id))
        return next(iter(self.statuses(attempt_id)), None)

    async def read(self) -> None:
        """Take messages until the session ends."""
        while (message := await self.call.read()) is not grpc.aio.EOF:
            self.messages.append(message)
            async with self._news:
                self._news.notify_all()
        self.ended.set_result(await self.call.code())


@contextlib.asynccontextmanager
async def gateway_session(address: str) -> AsyncIterator[GatewaySession]:
    """A session with the worker at an address."""
    async with open_channel(address) as channel:
        call = worker_grpc.WorkerServiceStub(channel).Session()
        gateway = GatewaySession(call)
        reading = asyncio.create_task(gateway.read())
        try:
            yield gateway
        finally:
            call.cancel()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


async def eventually(fact: Callable[[], bool], *, seconds: float) -> None:
    """Wait for something that tells nobody when it becomes true, in another task of this loop; its clock counts."""
    async with loop_clock() as clock:
        while not fact():
            assert clock() < seconds, f"not within {seconds} s"
            await asyncio.sleep(0.005)
