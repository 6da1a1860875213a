"""The price table of a configuration."""

import hypothesis.strategies as st
import pytest
from hybridinference.inference.v1 import generation_pb2 as generation
from hypothesis import given

from services.config.mesh import MeshConfig
from services.gateway.pricing.book import PriceBook

_MODELS = [
    {
        "name": "chat",
        "aliases": ["talk"],
        "routes": [
            {"provider": "gpu", "price": {"second": 0.0006}},
            {"provider": "cloud", "model": "gpt-4o-mini", "role": "fallback"},
            {"provider": "dear", "role": "shadow", "share": 0.1, "price": {"input": 1000, "output": 1000}},
        ],
    },
    {"name": "own", "routes": [{"provider": "free"}, {"provider": "cloud", "model": "nobody-knows"}]},
]
_PROVIDERS = {
    "gpu": {"kind": "echo", "models": ["g"]},
    "dear": {"kind": "echo", "models": ["d"]},
    "free": {"kind": "echo", "models": ["f"]},
    "cloud": {"kind": "openai", "api_keys": ["k"], "models": ["gpt-4o-mini", "nobody-knows"]},
}


def _config(**other: object) -> MeshConfig:
    return MeshConfig.model_validate({"providers": _PROVIDERS, "models": _MODELS, **other})


BOOK = PriceBook(_config())


def _usage(asked: int = 0, cached: int = 0, answered: int = 0, reasoning: int = 0) -> generation.Usage:
    return generation.Usage(
        input_tokens=asked, cached_tokens=cached, output_tokens=answered, reasoning_tokens=reasoning
    )


def test_tokens_are_charged_by_the_provider_that_served() -> None:
    # 0.15 USD for a million of the prompt, half of it where it was cached, 0.60 for the answer.
    assert BOOK.cost("cloud", "gpt-4o-mini", _usage(1000, 400, 100), 5.0) == 600 * 150 + 400 * 75 + 100 * 600


def test_reasoning_is_part_of_the_answer_and_charged_once() -> None:
    assert BOOK.cost("cloud", "gpt-4o-mini", _usage(answered=100, reasoning=90), 1.0) == 100 * 600


def test_time_is_charged_by_the_microsecond_and_rounded_up() -> None:
    assert BOOK.cost("gpu", "g", _usage(1000, 0, 1000), 2.5) == 1_500_000
    assert BOOK.cost("gpu", "g", None, 0.000001) == 1  # 600 pico-USD


def test_what_has_no_known_price_costs_nothing_and_is_known_as_such() -> None:
    for where in (("cloud", "nobody-knows"), ("free", "f"), ("nowhere", "none")):
        assert BOOK.cost(*where, _usage(1000, 0, 1000), 9.0) == 0
    assert BOOK.unpriced == {("cloud", "nobody-knows")}


def test_the_dearest_route_is_one_that_may_serve_by_any_of_the_models_names() -> None:
    for name in ("chat", "talk"):
        # A second of the engine is 600,000 nano-USD; the shadow, which serves nobody, would be 2,000,000.
        assert BOOK.dearest(name, input_tokens=1000, output_tokens=1000, seconds=1.0) == 750_000
        assert BOOK.dearest(name, input_tokens=1000, output_tokens=1000, seconds=2.0) == 1_200_000
    assert BOOK.dearest("nobody", input_tokens=1000, output_tokens=1000, seconds=2.0) == 0


def test_only_the_providers_that_a_key_may_use_count() -> None:
    asked = {"input_tokens": 1000, "output_tokens": 1000, "seconds": 2.0}
    assert BOOK.dearest("chat", **asked, providers=["cloud"]) == 750_000
    assert BOOK.dearest("chat", **asked, providers=("gpu", "dear")) == 1_200_000
    assert BOOK.dearest("chat", **asked, providers=["free"]) == 0


@given(
    asked=st.integers(0, 10**6), cached=st.integers(0, 10**6), answered=st.integers(0, 10**6), time=st.floats(0, 900)
)
def test_no_attempt_costs_more_than_the_dearest(asked: int, cached: int, answered: int, time: float) -> None:
    most = BOOK.dearest("chat", input_tokens=asked, output_tokens=answered, seconds=time)
    for where in (("gpu", "g"), ("cloud", "gpt-4o-mini")):
        assert BOOK.cost(*where, _usage(asked, cached, answered), time) <= most


def test_the_table_has_every_route_with_its_source() -> None:
    told = {(one.provider, one.provider_model): one for one in BOOK.table.entries}
    assert {where: one.source.split()[0] for where, one in told.items()} == {
        ("cloud", "gpt-4o-mini"): "genai-prices",
        ("cloud", "nobody-knows"): "unknown",
        ("dear", "d"): "configuration",
        ("free", "f"): "free",
        ("gpu", "g"): "configuration",
    }
    assert told["gpu", "g"].second_pico_usd == 600_000_000
    assert told["cloud", "gpt-4o-mini"].cached_input_pico_usd == 75_000


def test_a_price_that_grows_with_the_prompt_has_an_entry_for_each_step() -> None:
    config = MeshConfig.model_validate(
        {
            "providers": {"g": {"kind": "gemini", "api_keys": ["k"], "models": ["gemini-2.5-pro"]}},
            "models": [{"name": "m", "routes": [{"provider": "g"}]}],
        }
    )
    book = PriceBook(config)
    entries = [(one.above_input_tokens, one.input_pico_usd) for one in book.table.entries]
    assert entries == [(0, 1_250_000), (200_000, 2_500_000)]
    assert book.cost("g", "gemini-2.5-pro", _usage(200_000), 0.0) == 250_000_000
    assert book.cost("g", "gemini-2.5-pro", _usage(200_001), 0.0) == 500_002_500


def test_the_version_is_of_the_prices_and_of_nothing_else() -> None:
    other = PriceBook(_config(gateway={"max_running": 7}))
    assert other.version == BOOK.version == BOOK.table.version
    models = [_MODELS[0] | {"routes": [{"provider": "gpu", "price": {"second": 0.0007}}]}]
    assert PriceBook(_config(models=models)).version != BOOK.version


@pytest.mark.parametrize("order", [1, -1])
def test_the_version_does_not_depend_on_the_order_of_the_file(order: int) -> None:
    assert PriceBook(_config(models=_MODELS[::order])).version == BOOK.version
