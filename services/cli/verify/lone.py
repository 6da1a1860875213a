"""One worker alone, in a home of its own that nothing is left of."""

import asyncio
import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping

import yaml

from services.cli import plan, surroundings
from services.cli.backoff import Backoff
from services.cli.children import open_children
from services.cli.home import Home
from services.cli.lock import locked
from services.cli.problem import Problem
from services.cli.process import Process, StartFailed
from services.cli.up import load

# What is a path where it exists; a model may be a name on a hub as well.
_PATHS = ("model", "chat_template", "path")


@contextlib.asynccontextmanager
async def lone_worker(
    file: pathlib.Path, provider: str, environment: Mapping[str, str], *, base: pathlib.Path
) -> AsyncIterator[str]:
    """The address of a worker of that provider, started as a mesh would start it.

    Args:
        file: a configuration that is valid.
        provider: the provider's name there.
        environment: what variables in it are taken from.
        base: what relative directories in it are meant from.

    Raises:
        Problem: it does not start; with its last words.
    """
    # Short, since the path of a unix socket has little room.
    home = Home(pathlib.Path(tempfile.mkdtemp(prefix="hybrid-verify-")))
    try:
        home.prepare()
        address = f"unix:{home.run / 'worker.sock'}"
        model = load(file, environment).providers[provider].model_names[0]
        text = alone(file.read_text(encoding="utf-8"), provider, address, model=model, base=base)
        home.config.touch(mode=0o600)
        home.config.write_text(text, encoding="utf-8")
        config = load(home.config, environment)
        temporary = surroundings.temporary(home)
        sources = plan.Sources(home.config, surroundings.MIGRATIONS, lambda _: (), surroundings.engine_python)
        spec = plan.worker(config, config.workers()[0], sources, {**environment, "TMPDIR": str(temporary)})
        with locked(home) as lock:
            async with open_children(home, lock) as children:
                for path in (temporary, home.path):  # also when this process is killed
                    children.remove_at_end(path)
                async with _running(Process(spec, home, children, lambda _: None)):
                    yield address
    finally:
        shutil.rmtree(home.path, ignore_errors=True)


@contextlib.asynccontextmanager
async def _running(process: Process) -> AsyncIterator[None]:
    running = asyncio.create_task(process.run((), Backoff()))
    ready = asyncio.create_task(process.ready.wait())
    try:
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield
    except StartFailed as failure:
        raise Problem(str(failure)) from failure
    finally:
        ready.cancel()
        await process.stop()
        await asyncio.gather(running, ready, return_exceptions=True)


def alone(text: str, provider: str, address: str, *, model: str, base: pathlib.Path) -> str:
    """A configuration with nothing but that provider, with one worker at the address.

    Made of the file's own nodes: variables stay variables, so that no secret of the environment is written down.

    Args:
        text: the whole configuration, which is valid.
        provider: the provider's name.
        address: of the worker.
        model: one that the provider serves.
        base: what a relative directory in the configuration is meant from.
    """
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    assert top is not None  # the configuration is valid
    settings = _member(_member(top, "providers"), provider)
    settings.value = [(name, value) for name, value in settings.value if name.value != "workers"]
    settings.value.append((_scalar("workers"), _sequence(_scalar(address))))
    _root(settings, base)
    route = _mapping(provider=_scalar(provider), model=_scalar(model))
    models = _sequence(_mapping(name=_scalar("verified"), routes=_sequence(route)))
    providers = yaml.MappingNode("tag:yaml.org,2002:map", [(_scalar(provider), settings)])
    alone: str = yaml.serialize(_mapping(providers=providers, models=models), Dumper=yaml.SafeDumper)
    return alone


def _root(node: yaml.Node, base: pathlib.Path) -> None:
    """Make the relative paths of models, templates and adapters absolute."""
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        if isinstance(value, yaml.ScalarNode) and name.value in _PATHS and (base / value.value).exists():
            value.value = str(base / value.value)
        _root(value, base)


def _member(node: yaml.Node, name: str) -> yaml.MappingNode:
    found = next(value for key, value in node.value if key.value == name)
    assert isinstance(found, yaml.MappingNode)  # the configuration is valid
    return found


def _mapping(**members: yaml.Node) -> yaml.MappingNode:
    return yaml.MappingNode("tag:yaml.org,2002:map", [(_scalar(name), value) for name, value in members.items()])


def _sequence(*items: yaml.Node) -> yaml.SequenceNode:
    return yaml.SequenceNode("tag:yaml.org,2002:seq", list(items))


def _scalar(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')
