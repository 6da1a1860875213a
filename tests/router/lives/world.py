"""Configurations drawn by chance: providers, models, settings, each of which may change while the router runs."""

import copy
import random
from typing import Any

from services.config.mesh import MeshConfig

World = dict[str, Any]

_STRATEGIES = ("round_robin", "weighted", "least_loaded", "cost", "latency", "adaptive")
_PRICES = (
    None,
    {"input": 0.1, "output": 0.4},
    {"input": 3.0, "output": 15.0, "cached_input": 0.3},
    {"second": 0.0001},
)
_MODELS = (("m", "alias"), ("n",))


def drawn(chance: random.Random) -> World:
    """A configuration as a file would hold it: one to three providers, and one or two models on some of them."""
    count = chance.randint(1, 3)
    world: World = {
        "providers": {name: _provider(chance, name) for name in ("a", "b", "c")[:count]},
        "models": [],
        "router": _router(chance),
        "flags": {"hedging": chance.random() < 0.7, "continuation": chance.random() < 0.7},
    }
    _add_models(chance, world)
    return world


def changed(chance: random.Random, world: World) -> World:
    """Another configuration, by one change."""
    new = copy.deepcopy(world)
    kind = chance.choice(("workers", "addresses", "model", "models", "router", "flags", "provider"))
    name = chance.choice(sorted(new["providers"]))
    if kind == "workers":
        new["providers"][name] = _provider(chance, name)
    elif kind == "addresses":
        new["providers"][name]["workers"][0] = f"unix:{name}-elsewhere-{chance.randint(1, 3)}"
    elif kind == "provider" and len(new["providers"]) < 3:
        added = next(other for other in ("a", "b", "c") if other not in new["providers"])
        new["providers"][added] = _provider(chance, added)
    elif kind == "models":
        new["models"] = []
        _add_models(chance, new)
    elif kind == "router":
        new["router"] = _router(chance)
    elif kind == "flags":
        new["flags"] = {"hedging": chance.random() < 0.7, "continuation": chance.random() < 0.7}
    else:
        index = chance.randrange(len(new["models"]))
        before = new["models"][index]
        new["models"][index] = _model(chance, new, before["name"], *before.get("aliases", ()))
    return new


def shuffled(world: World, seed: int) -> World:
    """The same configuration with its sections in another order."""
    order = random.Random(seed)

    def mixed(items: list[Any]) -> list[Any]:
        return order.sample(items, len(items))

    providers = dict(mixed(list(world["providers"].items())))
    models = [{**model, "routes": mixed(model["routes"])} for model in mixed(world["models"])]
    return {**dict(mixed(list(world.items()))), "providers": providers, "models": models}


def config(world: World) -> MeshConfig:
    """The configuration that the world is."""
    return MeshConfig.model_validate(world)


def _provider(chance: random.Random, name: str) -> World:
    count = chance.choice((1, 2, 3, 3))
    return {"kind": "echo", "models": ["pm"], "workers": [f"unix:{name}-{index}" for index in range(count)]}


def _add_models(chance: random.Random, world: World) -> None:
    for names in _MODELS[: chance.randint(1, 2)]:
        world["models"].append(_model(chance, world, *names))


def _priced(world: World, name: str) -> dict[str, Any]:
    """The prices that other models have said, by provider: there is one for each."""
    routes = [route for model in world["models"] if model["name"] != name for route in model["routes"]]
    return {route["provider"]: route["price"] for route in routes if "price" in route}


def _model(chance: random.Random, world: World, name: str, *aliases: str) -> World:
    providers = chance.sample(sorted(world["providers"]), chance.randint(1, len(world["providers"])))
    routes: list[World] = []
    for index, provider in enumerate(providers):
        role = "primary" if index == 0 else chance.choice(("primary", "fallback", "canary", "shadow"))
        route: World = {"provider": provider, "role": role, "weight": float(chance.randint(1, 3))}
        if role in ("canary", "shadow"):
            route["share"] = chance.choice((0.2, 0.5))
        price = _priced(world, name).get(provider, chance.choice(_PRICES))
        if price is not None:
            route["price"] = price
        routes.append(route)
    return {
        "name": name,
        "aliases": list(aliases),
        "strategy": chance.choice(_STRATEGIES),
        "routes": routes,
        "queue": {"max_waiting": chance.choice((0, 2, 50)), "max_seconds": chance.choice((0.5, 60.0))},
        "slo": {"first_content_seconds": chance.choice((None, None, 0.5, 5.0))},
    }


def _router(chance: random.Random) -> World:
    return {
        "breaker": {"consecutive_failures": 2, "max_ejected_share": chance.choice((0.5, 0.5, 0.34))},
        "retry": {"budget_ratio": chance.choice((0.2, 9.0)), "budget_per_second": chance.choice((0.0, 0.3, 3.0))},
        "hedge": {
            "budget_ratio": chance.choice((0.02, 0.5)),
            "least_seconds": 0.01,
            "factor": 1.0,
            "paid": chance.random() < 0.5,
        },
        "slow_start_seconds": chance.choice((0.0, 10.0)),
    }
