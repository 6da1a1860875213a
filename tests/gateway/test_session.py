"""The gateway's end of the stream to a worker."""

import asyncio
import contextlib
import math
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import session_pb2 as session
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from services.chassis import status
from services.chassis.failure import Failure
from services.gateway.attempt import CREDIT_BYTES, Attempt
from services.gateway.session import Sessions, open_sessions
from tests.fakes import delta, eventually, finished, spec, started


class Worker(worker_grpc.WorkerServiceServicer):
    """The worker's end, in the hands of a test: keeps what it is told, says what it is given."""

    def __init__(self) -> None:
        self.requests: list[worker.SessionRequest] = []
        self.begun = 0
        self.ended = 0
        self.outbox: asyncio.Queue[worker.SessionResponse | None] = asyncio.Queue()

    def said(self, kind: str) -> list[Any]:
        """Everything of one kind that the gateway has said."""
        commands = [command for request in self.requests for command in request.commands]
        return [getattr(command, kind) for command in commands if command.HasField(kind)]

    def say(self, attempt_id: str, *events: generation.GenerationEvent, why: Failure | None = None) -> None:
        """Say events of an attempt, and how it failed."""
        said = [session.AttemptEvent(attempt_id=attempt_id, generation=event) for event in events]
        if why is not None:
            said.append(session.AttemptEvent(attempt_id=attempt_id, status=status.to_status(why)))
        self.outbox.put_nowait(worker.SessionResponse(events=said))

    async def Session(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        self.begun += 1
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while (response := await self.outbox.get()) is not None:
                await context.write(response)
        finally:
            self.ended += 1
            reading.cancel()

    async def _read(self, request_iterator: Any) -> None:
        async for request in request_iterator:
            self.requests.append(request)


class Pair:
    """A gateway's sessions and the worker at their other end."""

    def __init__(self, address: str, sessions: Sessions) -> None:
        self.address = address
        self.sessions = sessions
        self.worker = Worker()
        self.stack = contextlib.AsyncExitStack()

    def attempt(self, attempt_id: str = "a", text: str = "hello") -> contextlib.AbstractContextManager[Attempt]:
        """Begin an attempt."""
        start = session.StartAttempt(attempt_id=attempt_id, spec=spec(text=text))
        return self.sessions.to(self.address).attempt(start)

    async def events(self, attempt: Attempt) -> list[str | None]:
        """The kinds of the events that are there."""
        ready = await attempt.events(now=asyncio.get_running_loop().time)
        return [event.WhichOneof("event") for event in ready]

    async def started(self, count: int = 1) -> None:
        """Wait until the worker has heard of so many attempts."""
        await eventually(lambda: len(self.worker.said("start")) == count, seconds=30)

    async def serve(self) -> None:
        """Start the worker."""
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
        worker_grpc.add_WorkerServiceServicer_to_server(self.worker, server)
        server.add_insecure_port(self.address)
        await server.start()
        self.stack.push_async_callback(server.stop, None)

    async def kill(self) -> None:
        """End the worker."""
        await self.stack.aclose()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Both ends, connected once there is an attempt."""
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="g-"))
        sessions = await stack.enter_async_context(open_sessions(idle_seconds=60, slow_reader_seconds=60))
        made = Pair(f"unix:{pathlib.Path(directory)}/w.sock", sessions)
        await made.serve()
        stack.push_async_callback(made.kill)
        yield made


async def failure_of(attempt: Attempt) -> Failure:
    with pytest.raises(Failure) as caught:
        await attempt.events(now=asyncio.get_running_loop().time)
    return caught.value


async def test_attempts_share_a_stream_and_each_gets_its_own(pair: Pair) -> None:
    with pair.attempt("a") as first, pair.attempt("b") as second:
        await pair.started(2)
        assert [start.credit_bytes for start in pair.worker.said("start")] == [CREDIT_BYTES] * 2
        pair.worker.say("b", started(), delta("b"))
        pair.worker.say("a", started())
        assert await pair.events(second) == ["started", "delta"]
        assert await pair.events(first) == ["started"]
    assert pair.worker.begun == 1


async def test_a_broken_session_fails_all_its_attempts_and_the_next_one_opens_another(pair: Pair) -> None:
    with pair.attempt("a") as first, pair.attempt("b") as second:
        await pair.started(2)
        pair.worker.say("a", started(), delta("kept"))
        assert await pair.events(first) == ["started", "delta"]
        await pair.kill()
        for attempt in (first, second):
            assert (await failure_of(attempt)).reason == reasons.ERROR_REASON_WORKER_LOST
    await pair.serve()
    with pair.attempt("c") as third:
        await pair.started(3)
        pair.worker.say("c", started())
        assert await pair.events(third) == ["started"]
    assert pair.worker.begun == 2
    assert len(pair.sessions._running) == 1


async def test_what_came_before_the_break_is_still_handed_out(pair: Pair) -> None:
    with pair.attempt() as attempt:
        await pair.started()
        pair.worker.say("a", started(), delta("kept"))
        await eventually(lambda: len(attempt._inbox) == 2, seconds=30)
        await pair.kill()
        await eventually(lambda: attempt.failure is not None, seconds=30)
        assert await pair.events(attempt) == ["started", "delta"]
        assert (await failure_of(attempt)).reason == reasons.ERROR_REASON_WORKER_LOST


async def test_an_absent_worker_is_lost_at_once_and_found_at_once(pair: Pair) -> None:
    now = asyncio.get_running_loop().time
    lost, found = math.inf, math.inf
    for heard in range(1, 6):  # the machine may be slow once; the best of them counts
        await pair.kill()
        async with asyncio.timeout(30):
            began = now()
            for _ in range(5):
                with pair.attempt() as attempt:
                    assert (await failure_of(attempt)).reason == reasons.ERROR_REASON_WORKER_LOST
            lost = min(lost, now() - began)
        await pair.serve()
        began = now()
        with pair.attempt() as attempt:
            await pair.started(heard)
        found = min(found, now() - began)
        if max(lost, found) < 1:
            break
    assert lost < 1
    assert found < 1


async def test_a_worker_that_ends_an_idle_session_harms_nobody(pair: Pair) -> None:
    with pair.attempt("a") as first:
        await pair.started()
        pair.worker.say("a", started(), finished())
        assert await pair.events(first) == ["started", "finished"]
    pair.worker.outbox.put_nowait(None)
    await eventually(lambda: not pair.sessions._running, seconds=30)
    with pair.attempt("b") as second:
        await pair.started(2)
        pair.worker.say("b", started())
        assert await pair.events(second) == ["started"]


async def test_a_request_that_is_too_large_is_refused_before_it_is_written(pair: Pair) -> None:
    with pair.attempt("a") as neighbour:
        with pytest.raises(Failure) as caught, pair.attempt("b", text="x" * (61 << 20)):
            pass
        assert caught.value.reason == reasons.ERROR_REASON_REQUEST_TOO_LARGE
        await pair.started()
        pair.worker.say("a", started())
        assert await pair.events(neighbour) == ["started"]


async def test_large_requests_at_one_moment_do_not_add_up_to_a_message_that_is_too_large(pair: Pair) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(pair.attempt(str(number), text="x" * (20 << 20)))
        attempts = [stack.enter_context(pair.attempt(f"small-{number}")) for number in range(100)]
        await pair.started(104)
        assert len(pair.worker.requests) <= 6, "small ones share a message"
        pair.worker.say("small-7", started())
        assert await pair.events(attempts[7]) == ["started"]
    assert pair.worker.begun == 1


async def test_leaving_cancels_once_and_late_events_reach_nobody(pair: Pair) -> None:
    with pair.attempt("a") as attempt:
        await pair.started()
        pair.worker.say("a", started())
        await pair.events(attempt)
        late = Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, "late", stage="total")
        attempt.fail(late)
        attempt.fail(late)
        assert (await failure_of(attempt)) is late
    with pair.attempt("b") as other:
        pair.worker.say("a", delta("late"), finished())
        pair.worker.say("a", why=Failure(reasons.ERROR_REASON_CANCELLED, "as told"))
        await pair.started(2)
        pair.worker.say("b", started(), finished())
        assert await pair.events(other) == ["started", "finished"]
    await eventually(lambda: bool(pair.worker.said("cancel")), seconds=30)
    with pair.attempt("c"):
        await pair.started(3)
    assert [cancel.attempt_id for cancel in pair.worker.said("cancel")] == ["a"]


@pytest.mark.parametrize("why", [None, Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no", retry_after=3)])
async def test_an_attempt_that_the_worker_has_ended_is_not_cancelled(pair: Pair, why: Failure | None) -> None:
    with pair.attempt() as attempt:
        await pair.started()
        pair.worker.say("a", started(), *([finished()] if why is None else []), why=why)
        await pair.events(attempt)
        if why is not None:
            failure = await failure_of(attempt)
            assert (failure.reason, failure.retry_after) == (why.reason, 3)
    with pair.attempt("b"):
        await pair.started(2)
    assert pair.worker.said("cancel") == []


async def test_the_window_opens_by_what_has_been_passed_on(pair: Pair) -> None:
    with pair.attempt() as attempt:
        await pair.started()
        event = delta("x" * 1000)
        pair.worker.say("a", started(), *[event] * 40)
        await eventually(lambda: len(attempt._inbox) == 41, seconds=30)
        taken = await attempt.events(now=asyncio.get_running_loop().time)
        assert pair.worker.said("credit") == []
        waiting = asyncio.create_task(pair.events(attempt))
        await eventually(lambda: bool(pair.worker.said("credit")), seconds=30)
        assert [grant.bytes for grant in pair.worker.said("credit")] == [sum(one.ByteSize() for one in taken)]
        pair.worker.say("a", finished())
        assert await waiting == ["finished"]


async def test_a_worker_that_talks_nonsense_loses_its_session_and_nothing_else(pair: Pair) -> None:
    with pair.attempt() as attempt:
        await pair.started()
        nonsense = session.AttemptEvent(attempt_id="a")
        nonsense.status.code = 13
        nonsense.status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
        pair.worker.outbox.put_nowait(worker.SessionResponse(events=[nonsense]))
        assert (await failure_of(attempt)).reason == reasons.ERROR_REASON_WORKER_LOST
    with pair.attempt("b"):
        await pair.started(2)


async def test_leaving_ends_every_session_and_every_attempt() -> None:
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with open_sessions(idle_seconds=60, slow_reader_seconds=60) as sessions:
            pair = Pair(f"unix:{directory}/w.sock", sessions)
            await pair.serve()
            attempt = pair.attempt()
            opened = attempt.__enter__()
            await pair.started()
        assert (await failure_of(opened)).reason == reasons.ERROR_REASON_WORKER_LOST
        attempt.__exit__(None, None, None)
        await eventually(lambda: pair.worker.ended == 1, seconds=30)
        await pair.kill()
