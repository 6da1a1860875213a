"""`hybrid init`: a first configuration, out of what there is: GPUs, vendors' keys, a LiteLLM configuration."""

import dataclasses
import pathlib
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from services.chassis import config as reading
from services.chassis.config import ConfigError
from services.cli import litellm
from services.cli.litellm import Deployment, Read, Vendor
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

_NVIDIA_SECONDS = 10.0
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_BUILT_IN = "${HYBRID_SMOLLM2:?`make setup` makes the model}"
_HEAD = """\
# yaml-language-server: $schema=hybrid.schema.json
# Written by `hybrid init`. `hybrid config schema > hybrid.schema.json` makes the file of the first line,
# `hybrid check-config` says whether this one can be used, `hybrid up --config` starts it.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What the configuration is to have.

    Attributes:
        gpus: how many engines with a GPU each; 0 is one on the CPU.
        local: whether there are engines at all.
        model: what engines load, a directory or a name on a hub; empty is the small built-in model.
        vendors: names of models that are bought, each with its vendor.
        imported: of a LiteLLM configuration.
    """

    gpus: int = 0
    local: bool = True
    model: str = ""
    vendors: Sequence[Deployment] = ()
    imported: Read | None = None


def gpus() -> int:
    """How many GPUs the driver's own tool tells of; none where there is no such tool."""
    try:
        told = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_NVIDIA_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in told.stdout.splitlines()) if told.returncode == 0 else 0


def imported(path: pathlib.Path) -> Read:
    """What a LiteLLM configuration has.

    Raises:
        Problem: it cannot be read, or is none.
    """
    try:
        file = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{path}: cannot be read: {error.strerror}", code=2) from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Problem(f"{path}: not valid YAML", code=2) from None  # which may quote a key
    try:
        return litellm.read(file)
    except Problem as problem:
        raise Problem(f"{path}: {problem}", code=2) from None


def bought(kind: str, variable: str | None, models: Sequence[str]) -> list[Deployment]:
    """Models of a vendor, by the name of the variable that has its key; none without one.

    Raises:
        Problem: a variable without models, models without a variable, or what is no variable's name.
    """
    if not variable:
        if models:
            raise Problem(f"--{kind}-model: say with --{kind}-key-env which variable has the key", code=2)
        return []
    # In capitals: some vendors' keys could be a variable's name otherwise.
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable):
        # Not quoted: it may be the key itself.
        raise Problem(f"--{kind}-key-env takes the name of a variable, in capitals, never the key itself", code=2)
    if not models:
        raise Problem(f"--{kind}-key-env: say with --{kind}-model which models to use", code=2)
    return [Deployment(name, Vendor(kind, "", variable), name) for name in models]


def text(wanted: Wanted) -> str:
    """The file.

    Raises:
        Problem: there would be no model in it, or it cannot be used.
    """
    deployments = [*wanted.vendors, *(wanted.imported.deployments if wanted.imported else ())]
    named = _names(deployments)
    providers = dict(_engines(wanted)) if wanted.local else {}
    local = list(providers)
    for vendor, name in named.items():
        served = dict.fromkeys(each.model for each in deployments if each.vendor == vendor)
        providers[name] = _provider(vendor, list(served))
    models = [*_local_models(local, wanted), *_models(deployments, named, wanted.imported)]
    if not models:
        raise Problem("there would be no model in it: name a vendor's, or leave out --no-local", code=2)
    notes = wanted.imported.notes if wanted.imported else []
    comments = "".join(f"# {_line(note)}\n" for note in ("Of the LiteLLM configuration:", *notes)) if notes else ""
    body = yaml.safe_dump({"providers": providers, "models": models}, sort_keys=False, allow_unicode=True, width=110)
    made = f"{_HEAD}{comments}{body}"
    _check(made)
    return made


def write(path: pathlib.Path, content: str, *, force: bool) -> None:
    """Write the file, for its user alone.

    Raises:
        Problem: there is one, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(content)
    except FileExistsError:
        raise Problem(f"{path} is there already; --force overwrites it", code=2) from None
    except OSError as error:
        raise Problem(f"{path}: cannot be written: {error.strerror}") from error


def _engines(wanted: Wanted) -> Iterable[tuple[str, dict[str, Any]]]:
    engine: dict[str, Any] = {"kind": "vllm", "model": wanted.model or _BUILT_IN}
    if not wanted.model:
        engine["served_model"] = "smollm2-135m-instruct"
    if not wanted.gpus:
        yield "local", engine
    for number in range(wanted.gpus):
        yield f"gpu{number}", {**engine, "devices": [number]}


def _local_models(providers: Sequence[str], wanted: Wanted) -> Iterable[dict[str, Any]]:
    if providers:
        name = wanted.model.rstrip("/").rpartition("/")[2] if wanted.model else "smollm2"
        yield {"name": name, "routes": [{"provider": provider} for provider in providers]}


def _names(deployments: Iterable[Deployment]) -> dict[Vendor, str]:
    """A provider's name for each vendor: its kind, or its host where there are several of a kind."""
    found: dict[Vendor, str] = {}
    for each in deployments:
        vendor = each.vendor
        if vendor in found:
            continue
        host = re.sub(r"^https?://", "", vendor.base_url).partition("/")[0]
        own = vendor.kind if not host or host == "api.openai.com" else re.sub(r"[^A-Za-z0-9]+", "-", host).strip("-")
        name, number = own, 2
        while name in found.values() or name == "local":
            name, number = f"{own}-{number}", number + 1
        found[vendor] = name
    return found


def _provider(vendor: Vendor, models: list[str]) -> dict[str, Any]:
    key = f"${{{vendor.variable}:?the key of this vendor}}" if vendor.variable else "none"
    address = {"base_url": vendor.base_url} if vendor.base_url else {}
    return {"kind": vendor.kind, **address, "api_keys": [key], "models": models}


def _models(
    deployments: Sequence[Deployment], named: Mapping[Vendor, str], read: Read | None
) -> Iterable[dict[str, Any]]:
    by_name: dict[str, list[Deployment]] = {}
    for each in deployments:
        by_name.setdefault(each.name, []).append(each)
    aliases = {alias: target for alias, target in (read.aliases if read else {}).items() if alias not in by_name}
    for name, own in by_name.items():
        routes: dict[tuple[str, str], dict[str, Any]] = {}
        for each in own:
            route = {"provider": named[each.vendor], "model": each.model}
            routes.setdefault((named[each.vendor], each.model), route | _weight(each))
        weighted = any("weight" in route for route in routes.values())
        for other in read.fallbacks.get(name, ()) if read else ():
            for each in by_name.get(other, ()):
                route = {"provider": named[each.vendor], "model": each.model, "role": "fallback"}
                routes.setdefault((named[each.vendor], each.model), route)
        model: dict[str, Any] = {"name": name}
        also = [alias for alias, target in aliases.items() if target == name]
        if also:
            model["aliases"] = also
        if weighted:
            model["strategy"] = "weighted"
        elif len(routes) > 1:
            model["strategy"] = "adaptive"
        yield {**model, "routes": list(routes.values())}


def _weight(each: Deployment) -> dict[str, float]:
    return {} if each.weight == 1.0 else {"weight": each.weight}


def _line(note: str) -> str:
    """A note that stays within one line of comments."""
    return "".join(character if character.isprintable() else " " for character in note)[:300]


def _check(made: str) -> None:
    """See to it that what was made can be used, whatever its variables will be."""
    # Told apart, since two keys of a provider must be.
    values = {name: f"value-{number}" for number, name in enumerate(dict.fromkeys(_VARIABLE.findall(made)))}
    try:
        reading.parse(made, MeshConfig, source="the new configuration", environment=values)
    except ConfigError as error:
        raise Problem("\n".join(error.problems), code=2) from error
