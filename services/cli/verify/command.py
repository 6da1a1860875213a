"""Starts the worker of each provider, asks it everything, and stops it."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

from services.chassis.channel import open_channel
from services.cli import surroundings
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.up import load
from services.cli.verify.checking import Result, checked, chosen, most_calls, most_tokens
from services.cli.verify.client import Client
from services.cli.verify.lone import lone_worker
from services.config.mesh import MeshConfig
from services.config.provider import Provider, VendorProvider

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def verify(
    file: pathlib.Path,
    home: Home,
    *,
    provider: str | None,
    model: str | None,
    most_tokens: int | None,
    agreed: bool,
) -> list[Result]:
    """Ask every provider of the configuration, or the one that is named, for every feature.

    Args:
        file: the configuration.
        home: what relative directories in it are meant from.
        provider: the one to ask; None is all of them.
        model: the one to ask for; None is the first that claims text and the first that claims vectors.
        most_tokens: of an answer; None leaves it to each feature.
        agreed: whether calls that cost money may be made.

    Raises:
        Problem: a worker does not start, or calls would cost money and nobody has agreed.
    """
    environment = surroundings.environment(os.environ)
    if file == surroundings.LOCAL:
        surroundings.require_model(environment)
    config = load(file, environment)
    kinds = {name: config.providers[name].kind for name in _named(config, provider, model, most_tokens, agreed=agreed)}
    try:
        return asyncio.run(_verify(file, home, kinds, model, most_tokens, environment))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None  # what being asked to end is for every command


def _named(
    config: MeshConfig, provider: str | None, model: str | None, limit: int | None, *, agreed: bool
) -> Sequence[str]:
    """The providers to ask."""
    if provider is not None and provider not in config.providers:
        raise Problem(f"no provider `{provider}`; there are: {', '.join(config.providers)}", code=2)
    names = [provider] if provider else list(config.providers)
    if model is not None:
        names = [name for name in names if model in config.providers[name].model_names]
        if not names:
            who = provider or "any provider"
            raise Problem(f"no model `{model}` at {who}; `hybrid check-config` shows what each one serves", code=2)
    dear = [name for name in names if costs(config.providers[name])]
    if dear and not agreed:
        tokens = most_tokens() if limit is None else min(most_tokens(), most_calls() * limit)
        raise Problem(
            f"{', '.join(dear)}: up to {most_calls()} calls each, for as many as {tokens} tokens of output, are "
            "made with your keys, and the vendor may charge for them; add --yes if that is fine",
            code=2,
        )
    return names


def costs(provider: Provider) -> bool:
    """Whether somebody may charge for calls: whoever is asked on another host."""
    if not isinstance(provider, VendorProvider):
        return False
    url: str = getattr(provider, "base_url", "")
    return urllib.parse.urlsplit(url).hostname not in _LOCAL_HOSTS


async def _verify(
    file: pathlib.Path,
    home: Home,
    kinds: Mapping[str, str],
    model: str | None,
    most_tokens: int | None,
    environment: Mapping[str, str],
) -> list[Result]:
    results: list[Result] = []
    with _stopped_in_order():
        for name, kind in kinds.items():
            _tell(f"{name}: starting its worker")
            async with (
                lone_worker(file, name, environment, base=home.path) as address,
                open_channel(address) as channel,
            ):
                client = Client(channel, most_tokens=most_tokens)
                subject = chosen(await client.models(), model)
                async with contextlib.aclosing(checked(client, name, kind, subject)) as found:
                    async for result in found:
                        _tell(f"{name}: {result.feature.what}: {result.verdict.outcome}")
                        results.append(result)
    return results


def _tell(line: str) -> None:
    """Show a person that something happens."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr)


@contextlib.contextmanager
def _stopped_in_order() -> Iterator[None]:
    """Being asked to end stops the worker first."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
