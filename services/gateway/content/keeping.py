"""Keeps what was said, of keys whose policy wants it: into the spool, beside the request's record."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol, get_args

import structlog
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.gateway.call import Call
from services.gateway.content.hashing import Hasher
from services.gateway.content.hearing import Heard
from services.gateway.content.policy import content_record
from services.gateway.identity.grant import Content, Grant

LOG = structlog.get_logger()

# What takes longer than a millisecond is done in a thread: it must not hold up other callers' tokens. To look for
# secrets takes a tenth of a microsecond a byte, and ten times that where somebody wants it to.
_AT_ONCE_BYTES = {"redacted": 4 << 10}
_ELSE_AT_ONCE_BYTES = 64 << 10
# What may wait for the thread. Requests hold their specs in memory until then.
_WAITING_BYTES = 64 << 20
_CLOSE_SECONDS = 5.0

CONTENTS = declared.Counter(
    "hybrid_gateway_contents_total",
    "What was said: kept, or not for lack of room.",
    [
        declared.one_of("policy", get_args(Content), "what a key's policy keeps"),
        declared.one_of("outcome", ("kept", "shed", "failed")),
    ],
)


class Shelf(Protocol):
    """Where contents go: the spool."""

    def append_content(self, content: ledger.ContentRecord, *, strict: bool) -> bool:
        """Take what was said in a generation, unless there is no room for that. Whether it was taken."""


class Contents:
    """What was said in each generation. A key without a policy costs a comparison."""

    def __init__(
        self,
        shelf: Shelf,
        hasher: Hasher,
        thread: concurrent.futures.Executor,
        registry: CollectorRegistry,
    ) -> None:
        self._shelf = shelf
        self._hasher = hasher
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._waiting_bytes = 0
        self._waiting: set[asyncio.Future[ledger.ContentRecord]] = set()
        self._counter = CONTENTS.on(registry)

    def listen(self, grant: Grant) -> Heard | None:
        """What hears the answer of a request with that key; None where nothing is to be kept."""
        return None if grant.content == "none" else Heard()

    def keep(self, generation_id: str, call: Call[Any], heard: Heard) -> None:
        """A generation has ended: keep what was asked, and as much of the answer as had been delivered."""
        size = call.spec.ByteSize() + heard.size
        if size > _AT_ONCE_BYTES.get(call.grant.content, _ELSE_AT_ONCE_BYTES):
            self._keep_later(generation_id, call, heard, size)
            return
        try:
            record = content_record(generation_id, call, heard, self._hasher)
        except Exception as error:  # noqa: BLE001 (the request is none the worse for it)
            self._failed(generation_id, call, error)
        else:
            self._kept(call, record)

    def _keep_later(self, generation_id: str, call: Call[Any], heard: Heard, size: int) -> None:
        if self._waiting_bytes + size > _WAITING_BYTES:
            self._count(call, "shed")
            return
        self._waiting_bytes += size
        making = self._loop.run_in_executor(self._thread, content_record, generation_id, call, heard, self._hasher)
        self._waiting.add(making)

        def made(making: asyncio.Future[ledger.ContentRecord]) -> None:
            self._waiting.discard(making)
            self._waiting_bytes -= size
            if making.cancelled():
                self._count(call, "shed")
            elif (error := making.exception()) is not None:
                self._failed(generation_id, call, error)
            else:
                self._kept(call, making.result())

        making.add_done_callback(made)

    async def close(self, *, seconds: float) -> None:
        """Finish what is under way, for up to `seconds`; the rest is not kept."""
        if self._waiting:
            _, late = await asyncio.wait(set(self._waiting), timeout=seconds)
            for making in late:
                making.cancel()
            await asyncio.sleep(0)  # for the last words of those

    def _kept(self, call: Call[Any], record: ledger.ContentRecord) -> None:
        taken = self._shelf.append_content(record, strict=call.grant.strict)
        self._count(call, "kept" if taken else "shed")

    def _failed(self, generation_id: str, call: Call[Any], error: BaseException) -> None:
        # The error's message may quote what was said.
        self._count(call, "failed")
        LOG.error("content.failed", error=type(error).__name__, generation_id=generation_id)

    def _count(self, call: Call[Any], outcome: str) -> None:
        self._counter.labels(call.grant.content, outcome).inc()


@contextlib.asynccontextmanager
async def open_contents(shelf: Shelf, hasher: Hasher, registry: CollectorRegistry) -> AsyncIterator[Contents]:
    """Keep contents until the context is left, which finishes what is under way."""
    thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="contents")
    contents = Contents(shelf, hasher, thread, registry)
    try:
        yield contents
    finally:
        await contents.close(seconds=_CLOSE_SECONDS)
        thread.shutdown(wait=False, cancel_futures=True)
