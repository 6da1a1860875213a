"""`hybrid verify` as a shell sees it, with real workers before a fake vendor."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
import yaml

from services.cli.verify.features import FEATURES
from tests.fakes import eventually
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import OpenAIServer, openai_server

CLONE = pathlib.Path(__file__).parents[3]
KEY = "sk-canary-aaaaaaaaaaaa"


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    said: str
    complained: str


@pytest.fixture
def place() -> Iterator[pathlib.Path]:
    """A directory that the command takes for /tmp; sockets need short paths."""
    with tempfile.TemporaryDirectory(prefix="v", dir="/tmp") as directory:
        yield pathlib.Path(directory)


async def started(place: pathlib.Path, config: Any, *arguments: str) -> asyncio.subprocess.Process:
    file = place / "mesh.yaml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(config), encoding="utf-8")
    (place / "tmp").mkdir(exist_ok=True)
    paths = {"PYTHONPATH": f"{CLONE}:{CLONE / 'gen'}", "TMPDIR": str(place / "tmp"), "VENDOR_KEY": KEY}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "verify", "--config", str(file), "--home", str(place), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **paths},
    )


async def verify(place: pathlib.Path, config: Any, *arguments: str) -> Done:
    process = await started(place, config, *arguments)
    async with asyncio.timeout(60):
        said, complained = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, said.decode(), complained.decode())


def nothing_is_left(place: pathlib.Path) -> bool:
    return not list((place / "tmp").iterdir()) and str(place) not in running()


def running() -> str:
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            found.append((entry / "cmdline").read_text(errors="replace"))
    return "\n".join(found)


@contextlib.asynccontextmanager
async def vendor(**settings: Any) -> AsyncIterator[tuple[Any, OpenAIServer]]:
    async with openai_server(OpenAIModel().answer) as fake:
        models = [
            "m",
            {"name": "e", "capabilities": ["embeddings", "dimensions", "token_inputs"]},
            {"name": "p", "capabilities": ["completions", "token_inputs", "logprobs"]},
        ]
        provider = {"kind": "openai", "base_url": fake.base_url, "api_keys": ["${VENDOR_KEY}"], "models": models}
        routes = [{"provider": "fake", "model": "m"}]
        yield {"providers": {"fake": {**provider, **settings}}, "models": [{"name": "m", "routes": routes}]}, fake


@pytest.mark.slow
async def test_every_feature_of_a_vendor_is_asked_for_and_nothing_is_left(place: pathlib.Path) -> None:
    async with vendor() as (config, fake):
        done = await verify(place, config, "--json")
        assert fake.asked[0].key == KEY
    assert done.code == 0, done
    found = {one["feature"]: one for one in json.loads(done.said)}
    assert list(found) == [feature.name for feature in FEATURES]
    assert {name for name, one in found.items() if one["outcome"] == "refused"} == {"top-k"}
    assert {one["outcome"] for one in found.values()} == {"passed", "refused"}
    assert (found["text"]["model"], found["embed"]["model"]) == ("m", "e")
    assert KEY not in done.said + done.complained
    assert nothing_is_left(place)


@pytest.mark.slow
async def test_a_claim_that_does_not_hold_is_shown_and_is_the_exit_code(place: pathlib.Path) -> None:
    async with vendor(capabilities=["chat", "top_k"]) as (config, _):
        done = await verify(place, config, "--provider", "fake", "--model", "m")
    assert done.code == 1
    (row,) = [line for line in done.said.splitlines() if "FAILED" in line]
    assert "top_k" in row
    assert "PROVIDER_REJECTED" in row
    assert "1 failed" in done.said
    assert nothing_is_left(place)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_being_told_to_end_stops_the_worker_and_leaves_nothing(
    place: pathlib.Path, number: signal.Signals
) -> None:
    async with vendor() as (config, fake):
        process = await started(place, config)
        await eventually(lambda: bool(fake.asked), seconds=30)
        process.send_signal(number)
        await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 130
        assert nothing_is_left(place)


@pytest.mark.slow
async def test_being_killed_leaves_nothing(place: pathlib.Path) -> None:
    async with vendor() as (config, fake):
        process = await started(place, config)
        await eventually(lambda: bool(fake.asked), seconds=30)
        process.kill()
        await process.communicate()
        await eventually(lambda: nothing_is_left(place), seconds=30)


@pytest.mark.slow
async def test_echo_passes_without_being_asked_for_consent(place: pathlib.Path) -> None:
    config = {"providers": {"e": {"kind": "echo"}}, "models": [{"name": "e", "routes": [{"provider": "e"}]}]}
    done = await verify(place, config)
    assert done.code == 0, done
    assert "refused by name" in done.said
    assert "repeats the last message" in done.said


async def test_calls_that_may_cost_money_want_consent(place: pathlib.Path) -> None:
    async with vendor(base_url="https://vendor.invalid/v1") as (config, _):
        done = await verify(place, config)
    assert (done.code, done.said) == (2, "")
    assert "add --yes" in done.complained
    assert KEY not in done.complained


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(("--provider", "nobody"), "no provider `nobody`; there are: fake"), (("--model", "x"), "no model `x`")],
    ids=["provider", "model"],
)
async def test_a_name_that_there_is_not_is_told(place: pathlib.Path, arguments: tuple[str, str], what: str) -> None:
    async with vendor() as (config, _):
        done = await verify(place, config, *arguments)
    assert (done.code, done.said) == (2, "")
    assert what in done.complained
    assert "Traceback" not in done.complained
