"""Counterparts that are not ours: vendors' workers before aimock, judged by the features of the contract."""

import contextlib
import pathlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from services.chassis.channel import open_channel
from services.cli.verify.client import Client
from services.cli.verify.feature import Feature, verdict
from services.cli.verify.features import FEATURES
from services.cli.verify.seen import Seen
from tests.clients.aimock import Aimock, aimock
from tests.contract.subjects import CAPABILITIES, OPENAI_CHAT, told, vendor, worker

pytestmark = [pytest.mark.clients, pytest.mark.slow]


def openai(server: Aimock) -> Any:
    return vendor(kind="openai", base_url=f"{server.url}/v1", chat=OPENAI_CHAT, embeddings=["embeddings"])


# What aimock answers as a model would, by the worker. It heeds no limits, stop texts or seeds.
SHOWN = {
    openai: (
        *("text", "stream", "unicode", "usage", "cancel", "json-object", "json-schema", "effort", "option"),
        *("tools", "tools-parallel", "tools-result"),
        *("embed", "embed-several"),
    ),
}
VENDORS = pytest.mark.parametrize("config", SHOWN, ids=lambda config: config.__name__)
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


async def asked(config: Any, text: str) -> Seen:
    async with client(config) as found:
        return await found.call(told(text))


def cells() -> list[Any]:
    return [
        pytest.param(config, BY_NAME[name], id=f"{config.__name__}-{name}")
        for config, names in SHOWN.items()
        for name in names
    ]


@pytest.mark.parametrize(("config", "feature"), cells())
async def test_a_feature_holds_before_a_server_by_others(
    server: Aimock, config: Callable[[Aimock], Any], feature: Feature
) -> None:
    async with client(config(server)) as found:
        seen = await found.seen(feature, "e" if feature.embeds else "m")
    assert verdict(feature, seen, CAPABILITIES.values()).why == ""


@pytest.mark.parametrize("rate", CHAOS)
@VENDORS
async def test_chaos_has_its_reason(server: Aimock, config: Callable[[Aimock], Any], rate: str) -> None:
    with server.chaos(**{rate: 1.0}):
        seen = await asked(config(server), "Say hello.")
    assert seen.failure is not None
    assert seen.failure.reason_name in CHAOS[rate]
    assert not seen.reasons


@VENDORS
async def test_a_stream_that_is_cut_in_the_middle_is_never_taken_for_whole(
    server: Aimock, config: Callable[[Aimock], Any]
) -> None:
    seen = await asked(config(server), "fault: cut")
    assert seen.text()
    assert not seen.reasons
    assert seen.failure is not None
    assert seen.failure.reason_name in ("TRUNCATED", "PROVIDER_UNAVAILABLE")


@VENDORS
async def test_a_rate_limit_says_when_to_come_back(server: Aimock, config: Callable[[Aimock], Any]) -> None:
    failure = (await asked(config(server), "fault: limited")).failure
    assert failure is not None
    assert failure.reason_name == "PROVIDER_RATE_LIMITED"
    assert failure.retry_after == pytest.approx(7, abs=1)
