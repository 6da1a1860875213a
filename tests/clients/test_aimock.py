"""Counterparts that are not ours: vendors' workers before aimock, judged by the features of the contract."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from services.chassis.channel import open_channel
from services.cli.verify.client import Client
from services.cli.verify.feature import Feature, verdict
from services.cli.verify.features import FEATURES
from services.cli.verify.seen import Seen
from tests.clients.aimock import Aimock, aimock
from tests.contract.subject import CAPABILITIES, told, vendor, worker
from tests.contract.subjects import GEMINI, OPENAI

pytestmark = [pytest.mark.clients, pytest.mark.slow]


@dataclasses.dataclass(frozen=True, slots=True)
class Vendor:
    """A worker that is put before aimock, and the features that aimock answers as a model would.

    It heeds no limits, stop texts or seeds, and counts no tokens for Gemini, whose batchEmbedContents it does not have.
    """

    kind: str
    model: str
    path: str
    claims: Sequence[str]
    features: Sequence[str]

    def config(self, server: Aimock) -> Any:
        url = server.url + self.path
        return vendor(kind=self.kind, base_url=url, chat_model=self.model, chat=self.claims, embeddings=["embeddings"])


COMMON = ("text", "stream", "unicode", "cancel", "json-object", "json-schema", "effort", "tools", "tools-parallel")
VENDORS = (
    Vendor(
        "openai", "m", "/v1", OPENAI["chat"], (*COMMON, "tools-result", "usage", "option", "embed", "embed-several")
    ),
    # A name whose calls aimock ends with STOP, as the API does; FUNCTION_CALL, its default, is none of the API's words.
    Vendor("gemini", "gemini-3-flash", "", GEMINI["chat"], (*COMMON, "tools-result", "reasoning")),
)
EACH = pytest.mark.parametrize("counterpart", VENDORS, ids=lambda one: one.kind)
BY_NAME = {feature.name: feature for feature in FEATURES}
CHAOS = {
    "dropRate": ("PROVIDER_UNAVAILABLE",),
    "malformedRate": ("PROVIDER_MALFORMED",),
    "disconnectRate": ("PROVIDER_UNAVAILABLE", "TRUNCATED"),
    "rateLimitRate": ("PROVIDER_RATE_LIMITED",),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Aimock]:
    with aimock() as found:
        yield found


@contextlib.asynccontextmanager
async def client(config: Any) -> AsyncIterator[Client]:
    with tempfile.TemporaryDirectory(prefix="clients") as directory:
        address = f"unix:{pathlib.Path(directory, 'w.sock')}"
        async with worker(address, config), open_channel(address) as channel:
            yield Client(channel)


async def asked(server: Aimock, counterpart: Vendor, text: str) -> Seen:
    spec = told(text)
    spec.model = counterpart.model
    async with client(counterpart.config(server)) as found:
        return await found.call(spec)


CELLS = [
    pytest.param(counterpart, BY_NAME[name], id=f"{counterpart.kind}-{name}")
    for counterpart in VENDORS
    for name in counterpart.features
]


@pytest.mark.parametrize(("counterpart", "feature"), CELLS)
async def test_a_feature_holds_before_a_server_by_others(server: Aimock, counterpart: Vendor, feature: Feature) -> None:
    async with client(counterpart.config(server)) as found:
        seen = await found.seen(feature, "e" if feature.embeds else counterpart.model)
    assert verdict(feature, seen, CAPABILITIES.values()).why == ""


@pytest.mark.parametrize("rate", CHAOS)
@EACH
async def test_chaos_has_its_reason(server: Aimock, counterpart: Vendor, rate: str) -> None:
    with server.chaos(**{rate: 1.0}):
        seen = await asked(server, counterpart, "Say hello.")
    assert seen.failure is not None
    assert seen.failure.reason_name in CHAOS[rate]
    assert not seen.reasons


@EACH
async def test_a_stream_that_is_cut_in_the_middle_is_never_taken_for_whole(server: Aimock, counterpart: Vendor) -> None:
    seen = await asked(server, counterpart, "fault: cut")
    assert seen.text()
    assert not seen.reasons
    assert seen.failure is not None
    assert seen.failure.reason_name in ("TRUNCATED", "PROVIDER_UNAVAILABLE")


@EACH
async def test_a_rate_limit_says_when_to_come_back(server: Aimock, counterpart: Vendor) -> None:
    failure = (await asked(server, counterpart, "fault: limited")).failure
    assert failure is not None
    assert failure.reason_name == "PROVIDER_RATE_LIMITED"
    assert failure.retry_after == pytest.approx(7, abs=1)
