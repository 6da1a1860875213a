"""What differs between two configurations."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.cli import configuring
from services.config import difference
from services.config.mesh import MeshConfig

BASE: dict[str, Any] = {
    "providers": {
        "a": {"kind": "echo"},
        "v": {"kind": "openai", "api_keys": ["s3cret"], "models": ["x"]},
    },
    "models": [{"name": "m", "routes": [{"provider": "a"}]}, {"name": "n", "routes": [{"provider": "a"}]}],
}


def config(**changes: Any) -> MeshConfig:
    return MeshConfig.model_validate({**BASE, **changes})


def changes(**wanted: Any) -> list[tuple[str, str, str, str]]:
    found = configuring.changes(config(), config(**wanted))
    return [(each.path, each.before, each.after, when) for each, when in found]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({}, []),
        ({"flags": {"hedging": True}}, [("flags.hedging.share", "0.0", "1.0", "reload")]),
        ({"gateway": {"instances": 2}}, [("gateway.instances", "1", "2", "reload")]),
        ({"log": {"level": "debug"}}, [("log.level", "info", "debug", "restart of each process")]),
        (
            {"router": {"listen": "unix:r"}},
            [("router.listen", "…", "unix:r", "start of the whole mesh")],
        ),
        ({"edge": {"limits": {"connections": 5}}}, [("edge.limits.connections", "1024", "5", "restart of envoy")]),
        ({"ledger": {"replay_hours": 1}}, [("ledger.replay_hours", "24.0", "1.0", "restart of the loaders")]),
        (
            {"providers": {**BASE["providers"], "a": {"kind": "echo", "token_ms": 9}}},
            [("providers.a.token_ms", "20.0", "9.0", "restart of its workers")],
        ),
    ],
)
def test_each_key_is_told_with_when_it_takes_effect(wanted: dict[str, Any], told: list[tuple[str, ...]]) -> None:
    found = changes(**wanted)
    assert [(path, after, when) for path, _, after, when in found] == [(t[0], t[2], t[3]) for t in told]


def test_models_are_told_apart_by_name_whatever_their_order() -> None:
    assert changes(models=[*reversed(BASE["models"])]) == []
    [gone] = [each for each in changes(models=BASE["models"][:1]) if each[0].endswith(".n.name")]
    assert gone == ("models.n.name", "n", "(not there)", "reload")


def test_a_secret_that_changes_is_named_and_never_shown() -> None:
    providers = {**BASE["providers"], "v": {**BASE["providers"]["v"], "api_keys": ["an0ther"]}}
    assert changes(providers=providers) == [("providers.v.api_keys.0", "***", "***", "restart of its workers")]


def test_what_is_shown_has_the_defaults_and_no_secret() -> None:
    text = configuring.effective(config(ledger={"dsn": "postgresql://u:pa55@h/d"}))
    assert "s3cret" not in text
    assert "pa55" not in text
    shown = yaml.safe_load(text)
    assert shown["providers"]["v"]["api_keys"] == ["***"]
    assert shown["router"]["stale_seconds"] == 3.0


@given(st.booleans(), st.integers(1, 4), st.floats(0, 1), st.sampled_from(["debug", "info"]))
def test_what_differs_from_itself_is_nothing_and_from_another_is_the_same_both_ways(
    keyless: bool, instances: int, share: float, level: str
) -> None:
    other = config(
        access={"keyless": keyless},
        gateway={"instances": instances},
        flags={"hedging": {"share": share}},
        log={"level": level},
    )
    assert difference.between(other, other) == ()
    there = {(each.path, each.before, each.after) for each in difference.between(config(), other)}
    back = {(each.path, each.after, each.before) for each in difference.between(other, config())}
    assert there == back


def test_an_argument_of_an_engine_that_is_called_a_secret_is_shown_as_one() -> None:
    def with_token(token: object) -> MeshConfig:
        arguments = {
            "hf_token": token,
            "max_model_len": 512,
            "tokenizer": "org/own",
            "hf_overrides": {"api-key": "k3y"},
        }
        engine = {"kind": "vllm", "model": "org/m", "engine_args": arguments}
        return config(providers={**BASE["providers"], "e": engine})

    shown = difference.shown(with_token("hf_s3cret"))["providers"]["e"]["engine_args"]
    hidden = {"hf_token": "***", "max_model_len": 512, "tokenizer": "org/own", "hf_overrides": {"api-key": "***"}}
    assert shown == hidden
    assert difference.shown(with_token(True))["providers"]["e"]["engine_args"]["hf_token"] is True
    (found,) = difference.between(with_token("hf_s3cret"), with_token("hf_other"))
    assert (found.path, found.before, found.after) == ("providers.e.engine_args.hf_token", "***", "***")
