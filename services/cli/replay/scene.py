"""The simulator's scenario of a model of the configuration: its fleet, as fast as it has been. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.cli.replay import fit
from services.cli.replay.past import Served
from services.config.mesh import MeshConfig
from services.config.model import Model
from services.config.prices import tariff_of
from services.config.provider import VendorProvider
from services.config.strategy import Strategy
from services.config.tariff import Tariff

_FIRST_SECONDS = 2.0
# What is good where nobody has said it: every further token in twice the usual time.
_GOOD_FACTOR = 2.0
_TOKEN_SECONDS = 0.05
_STEP_TOKENS = 8192
_NETWORK_SECONDS = 0.001


class Scene(NamedTuple):
    """A scenario, and in words what it takes for granted."""

    scenario: dict[str, Any]
    assumed: Sequence[str]


def scene(
    config: MeshConfig, model: Model, attempts: Sequence[Served], capacities: Mapping[str, int], *, seeds: int
) -> Scene:
    """The scenario of a model.

    Args:
        config: the mesh's configuration.
        model: the model whose requests are replayed.
        attempts: past attempts at the providers of its routes, whichever model was asked for.
        capacities: how many generations each worker runs at once, by its name, as far as is known.
        seeds: number of seeds.
    """
    fleet: list[dict[str, Any]] = []
    vendors: list[dict[str, Any]] = []
    assumed: list[str] = []
    usual: list[float] = []
    before: list[float] = []
    for route in model.routes:
        taken = {group["name"] for group in (*fleet, *vendors)}
        name = _name(route.provider)
        if route.role not in ("primary", "fallback"):
            assumed.append(f"the {route.role} route over {route.provider} is left out")
            continue
        if name in taken:
            assumed.append(f"a further route over {route.provider} is left out")
            continue
        at = [one for one in attempts if one.provider == route.provider]
        tariff = tariff_of(config, route)
        group: dict[str, Any] = {"name": name, "role": route.role}
        group |= {"price": _usd(tariff)} if tariff else {}
        if isinstance(config.providers[route.provider], VendorProvider):
            speed = fit.vendor([one for one in at if one.model == config.provider_model(route)])
            vendors.append(group | _vendor(speed))
            assumed.append(f"{route.provider}: {_vendor_words(speed)}")
            usual += [1.0 / speed.tokens_per_second] if speed else []
        else:
            places = [place for place in config.workers() if place.provider == route.provider]
            engine = fit.engine(at)
            room = [capacities[place.name] for place in places if capacities.get(place.name)]
            fleet.append(group | {"workers": len(places), **_engine(engine, min(room, default=0))})
            assumed.append(f"{route.provider}: {_number(len(places))}, {_engine_words(engine)}")
            usual += [engine.step + engine.sequence] if engine else []
            before += [engine.before] if engine else []
    slo, said = _slo(model, usual)
    scenario = {
        "name": "replay",
        "summary": f"What was asked of {model.name}.",
        "fleet": fleet,
        "vendors": vendors,
        "traffic": {"thin": 0.1, "jitter_seconds": 1.0},
        "slo": slo,
        # Everything that takes its time before an engine reads is on the way to it and back.
        "wiring": {"network_seconds": max(_NETWORK_SECONDS, min(before, default=0.0) / 2)},
        "router": config.router.model_dump(mode="json"),
        "queue": model.queue.model_dump(mode="json"),
        "flags": {
            name: {"share": flag.share if not flag.models or model.name in flag.models else 0.0}
            for name, flag in config.flags
        },
        "timeout_seconds": config.gateway.timeout_seconds,
        "seeds": seeds,
    }
    return Scene(scenario, [*assumed, said])


def policy(strategy: Strategy) -> str:
    """A strategy as the simulator names it, with the settings that are not its defaults."""
    settings = strategy.model_dump(exclude={"name"}, exclude_defaults=True)
    told = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{strategy.name}:{told}" if told else strategy.name


def _usd(tariff: Tariff) -> dict[str, float]:
    """A price as a scenario has it: of prompts of ordinary length."""
    tier = tariff.tiers[0]
    told = {"input": tier.input, "output": tier.output, "cached_input": tier.cached_input}
    return {key: pico / 1e6 for key, pico in told.items()} | {"second": tariff.second / 1e12}


def _engine(speed: fit.EngineSpeed | None, capacity: int) -> dict[str, Any]:
    engine: dict[str, Any]
    # A step has room for every sequence, and for a prompt besides.
    engine = {"max_sequences": capacity, "step_tokens": max(_STEP_TOKENS, 2 * capacity)} if capacity else {}
    if speed is not None:
        engine |= {
            "step_seconds": speed.step,
            "sequence_seconds": speed.sequence,
            "prefill_token_seconds": speed.prompt_token,
            # Part of what was fitted.
            "kv_token_seconds": 0.0,
            "attention_seconds": 0.0,
        }
    return {"engine": engine} if engine else {}


def _engine_words(speed: fit.EngineSpeed | None) -> str:
    if speed is None:
        return f"as fast as the simulator's own: there are fewer than {fit.LEAST} answers to go by"
    each = f"{speed.sequence * 1e3:.3g} ms more for each sequence in it"
    read = f"{speed.prompt_token * 1e6:.3g} µs for each token of a prompt, {speed.before * 1e3:.3g} ms before"
    return f"{speed.step * 1e3:.3g} ms a step, {each}, {read} (by {speed.attempts} attempts)"


def _number(engines: int) -> str:
    return "1 engine" if engines == 1 else f"{engines} equal engines"


def _vendor(speed: fit.VendorSpeed | None) -> dict[str, Any]:
    return {"model": {key: value for key, value in speed._asdict().items() if key != "attempts"}} if speed else {}


def _vendor_words(speed: fit.VendorSpeed | None) -> str:
    if speed is None:
        return f"as fast as the simulator's own vendor: there are fewer than {fit.LEAST} answers to go by"
    first = f"first content after {speed.first_seconds:.3g} s, {speed.tokens_per_second:.3g} tokens a second"
    return (
        f"a vendor, {first}, {speed.error_share:.1%} of attempts fail (by {speed.attempts}); its limits are not known"
    )


def _slo(model: Model, usual: Sequence[float]) -> tuple[dict[str, float], str]:
    first = model.slo.first_content_seconds or _FIRST_SECONDS
    token = _GOOD_FACTOR * max(usual) if usual else _TOKEN_SECONDS
    # The whole limit is for the first content; the simulator would add time for long prompts.
    slo = {"first_seconds": first, "token_seconds": token, "prompt_tokens_per_second": 1e9}
    source = "the model's own" if model.slo.first_content_seconds else "nothing is configured"
    return slo, f"good is first content within {first:g} s ({source}) and {token * 1e3:.3g} ms for each further token"


def _name(provider: str) -> str:
    """A provider's name as the simulator takes it."""
    plain = re.sub(r"[^a-z0-9_]", "_", provider.lower())
    return plain if plain[0].isalpha() else f"p_{plain}"
