"""What callers are told of models."""

import dataclasses

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.gateway.identity.grant import ANYBODY
from services.gateway.models import Models

CONFIG = MeshConfig.model_validate(
    {
        "providers": {"echo": {"kind": "echo", "workers": 2}},
        "models": [
            {"name": "b", "routes": [{"provider": "echo"}]},
            {"name": "a", "routes": [{"provider": "echo"}], "context_tokens": 7, "owner": "us"},
        ],
    }
)


class Fleet:
    """A fleet that is what a test says."""

    def __init__(self, *workers: fleet.FleetWorker) -> None:
        self.workers = workers


def reporting(serves: str, context_tokens: int, *able: model.Capability) -> fleet.FleetWorker:
    made = fleet.FleetWorker(routes=[fleet.FleetRoute(model=serves, provider_model="echo")])
    made.status.models.append(worker_status.WorkerModel(name="echo", context_tokens=context_tokens, capabilities=able))
    return made


def models(*workers: fleet.FleetWorker) -> Models:
    return Models(CONFIG, Fleet(*workers), created_seconds=5)  # type: ignore[arg-type]


def test_models_are_listed_by_name_before_any_worker_is_known() -> None:
    assert models().all(ANYBODY) == [
        model.Model(name="a", owner="us", created_seconds=5, context_tokens=7),
        model.Model(name="b", owner="hybridinference", created_seconds=5),
    ]


def test_a_model_is_what_all_its_workers_can_do() -> None:
    chat, seed = model.CAPABILITY_CHAT, model.CAPABILITY_SEED
    known = models(
        reporting("b", 100, chat, seed), reporting("b", 50, chat), reporting("b", 0, chat), reporting("a", 1)
    )
    assert known.require("b", ANYBODY).context_tokens == 50
    assert list(known.require("b", ANYBODY).capabilities) == [chat]
    assert known.require("a", ANYBODY).context_tokens == 7, "the configuration knows better"


def test_a_model_is_found_by_its_aliases_and_listed_by_its_name() -> None:
    known = models(reporting("b", 50))
    routes = [{"provider": "echo"}]
    config = {
        "providers": {"echo": {"kind": "echo"}},
        "models": [{"name": "b", "aliases": ["x", "a"], "routes": routes}],
    }
    known.reconfigure(MeshConfig.model_validate(config))
    expected = model.Model(name="b", owner="hybridinference", created_seconds=5, context_tokens=50, aliases=["x", "a"])
    assert known.all(ANYBODY) == [expected]
    assert [known.require(name, ANYBODY) for name in "abx"] == [expected] * 3
    with pytest.raises(Failure, match="There is no model `c`"):
        known.require("c", ANYBODY)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Failure, match="there are: a, b") as caught:
        models().require("c", ANYBODY)
    assert caught.value.reason == reasons.ERROR_REASON_MODEL_NOT_FOUND


def test_a_key_sees_its_models_alone_whichever_name_it_was_given_them_by() -> None:
    known = models()
    routes = [{"provider": "echo"}]
    entries = [{"name": "b", "aliases": ["x", "a"], "routes": routes}, {"name": "c", "routes": routes}]
    known.reconfigure(MeshConfig.model_validate({"providers": {"echo": {"kind": "echo"}}, "models": entries}))
    for name in ("b", "x"):
        grant = dataclasses.replace(ANYBODY, models=frozenset([name, "gone"]))
        assert [model.name for model in known.all(grant)] == ["b"]
        for allowed in ("b", "x", "a", ""):
            known.require_allowed(allowed, grant)
        for refused in ("c", "gone", "B"):
            for ask in (known.require, known.require_allowed):
                with pytest.raises(Failure, match=f"^There is no model `{refused}`; there are: b\\.$"):
                    ask(refused, grant)
    none = dataclasses.replace(ANYBODY, models=frozenset(["gone"]))
    assert known.all(none) == []
    with pytest.raises(Failure, match="there is none that this key may use"):
        known.require("b", none)
    known.require_allowed("nobody", ANYBODY)  # what any key may use the router knows
