"""The client of a worker waits where the vendor says so, and not for ever."""

import contextlib
import pathlib
import tempfile
from collections.abc import AsyncIterator

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.channel import open_channel
from services.chassis.failure import Failure
from services.cli.verify.client import Client
from services.cli.verify.features import FEATURES
from tests import fakes

(TEXT,) = (feature for feature in FEATURES if feature.name == "text")


class Limited(fakes.ScriptedProvider):
    """Refuses the first calls, with how long to wait."""

    def __init__(self, refusals: int, retry_after: float) -> None:
        super().__init__({"": fakes.saying(fakes.started(), fakes.delta("Hello"), fakes.finished())})
        self.calls = 0
        self._refusals = refusals
        self._failure = Failure(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, "Too soon.", retry_after=retry_after)

    async def generate(self, spec: object, context: object) -> fakes.Events:  # type: ignore[override]
        self.calls += 1
        if self.calls <= self._refusals:
            raise self._failure
        async with contextlib.aclosing(self.scripts[""]()) as events:
            async for event in events:
                yield event


@contextlib.asynccontextmanager
async def client(provider: fakes.ScriptedProvider) -> AsyncIterator[Client]:
    with tempfile.TemporaryDirectory(prefix="verify") as directory:
        address = f"unix:{pathlib.Path(directory, 'w.sock')}"
        async with fakes.running_worker(address, provider), open_channel(address) as channel:
            yield Client(channel)


@pytest.mark.parametrize(
    ("refusals", "retry_after", "calls", "passes"),
    [(2, 0.01, 3, True), (99, 0.01, 4, False), (1, 86_000.0, 1, False)],
    ids=["soon", "never", "tomorrow"],
)
async def test_a_rate_limit_is_waited_for_within_reason(
    refusals: int, retry_after: float, calls: int, *, passes: bool
) -> None:
    provider = Limited(refusals, retry_after)
    async with client(provider) as asking:
        (seen,) = await asking.seen(TEXT, "scripted")
    assert (seen.failure is None) == passes
    assert provider.calls == calls


@pytest.mark.parametrize(("most", "asked"), [(None, 512), (32, 32), (4096, 512)], ids=["default", "less", "more"])
async def test_an_answer_may_be_bounded(most: int | None, asked: int) -> None:
    with tempfile.TemporaryDirectory(prefix="verify") as directory:
        address = f"unix:{pathlib.Path(directory, 'w.sock')}"
        provider = Limited(0, 0)
        async with fakes.running_worker(address, provider), open_channel(address) as channel:
            (seen,) = await Client(channel, most_tokens=most).seen(TEXT, "scripted")
    assert seen.spec.max_output_tokens == asked
