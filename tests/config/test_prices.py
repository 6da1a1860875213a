"""What vendors ask for their models."""

import datetime
import math
import pathlib
import re
import subprocess
import sys

import genai_prices
import pytest
from genai_prices import data_snapshot

from services.chassis.config import ConfigError
from services.cli import check
from services.config import mesh
from services.config.mesh import MeshConfig
from services.config.model import Price
from services.config.prices import public_tariff, tariff_of, unpriced
from services.config.tariff import Tariff, Tier

_OPENAI = "https://api.openai.com/v1"


def _config(route: dict[str, object] | None = None, **provider: object) -> MeshConfig:
    settings = {"kind": "openai", "api_keys": ["k"], "models": ["gpt-4o-mini"], **provider}
    if settings["kind"] == "echo":
        settings = {"kind": "echo", "models": ["gpt-4o-mini"]}
    return MeshConfig.model_validate(
        {"providers": {"p": settings}, "models": [{"name": "m", "routes": [{"provider": "p", **(route or {})}]}]}
    )


def _tariff(config: MeshConfig) -> Tariff | None:
    return tariff_of(config, config.models[0].routes[0])


def _tier(above: int, asked: int, cached: int, answered: int) -> Tier:
    return Tier(above, input=asked, cached_input=cached, output=answered)


def test_a_vendors_model_has_its_public_tariff_with_its_source() -> None:
    found = public_tariff(_OPENAI, "gpt-4o-mini")
    # 0.15, 0.075 and 0.60 USD for a million tokens.
    assert found == Tariff((_tier(0, 150_000, 75_000, 600_000),), source=f"genai-prices {genai_prices.__version__}")
    assert _tariff(_config()) == found


def test_gemini_has_its_public_tariff() -> None:
    found = _tariff(_config(kind="gemini", models=["gemini-2.5-flash"]))
    assert found is not None
    assert found.tiers == (_tier(0, 300_000, 30_000, 2_500_000),)


def test_a_price_that_grows_with_the_prompt_has_its_steps() -> None:
    found = public_tariff("https://generativelanguage.googleapis.com", "gemini-2.5-pro")
    assert found is not None
    assert [(tier.above_input_tokens, tier.input, tier.output) for tier in found.tiers] == [
        (0, 1_250_000, 10_000_000),
        (200_000, 2_500_000, 15_000_000),
    ]


@pytest.mark.parametrize(
    ("model", "base_url"), [("gpt-4o-mini", _OPENAI), ("gemini-2.5-pro", "https://generativelanguage.googleapis.com")]
)
@pytest.mark.parametrize("asked", [0, 1, 199_999, 200_000, 200_001, 1_000_000])
def test_a_public_tariff_comes_to_what_its_package_works_out(model: str, base_url: str, asked: int) -> None:
    found = public_tariff(base_url, model)
    assert found is not None
    usage = genai_prices.Usage(input_tokens=asked, cache_read_tokens=asked // 3, output_tokens=777)
    _, known = data_snapshot.get_snapshot().find_provider_model(model, None, None, base_url)
    usd = known.get_prices(datetime.datetime.now(datetime.UTC)).calc_price(usage)["total_price"]
    assert found.nano_usd(asked, asked // 3, 777, 0) == math.ceil(usd * 10**9)


def test_models_for_vectors_have_no_price_for_output() -> None:
    found = public_tariff(_OPENAI, "text-embedding-3-small")
    assert found is not None
    assert found.tiers == (_tier(0, 20_000, 20_000, 0),)


def test_the_routes_own_price_comes_first() -> None:
    found = _tariff(_config({"price": {"input": 7, "output": "0.000001"}}))
    assert found == Tariff((_tier(0, 7_000_000, 7_000_000, 1),), source="configuration")


def test_time_has_a_price_by_itself() -> None:
    found = _tariff(_config({"price": {"second": 0.0006}}, kind="echo"))
    assert found == Tariff((_tier(0, 0, 0, 0),), second=600_000_000, source="configuration")
    assert not found.free


def test_a_price_on_one_route_is_that_of_every_route_to_the_same_model() -> None:
    config = MeshConfig.model_validate(
        {
            "providers": {"p": {"kind": "echo", "models": ["e"]}},
            "models": [
                {"name": "a", "routes": [{"provider": "p"}, {"provider": "p", "role": "shadow", "share": 0.5}]},
                {"name": "b", "routes": [{"provider": "p", "price": {"input": 3}}]},
            ],
        }
    )
    assert len({tariff_of(config, route) for model in config.models for route in model.routes}) == 1
    assert tariff_of(config, config.models[0].routes[0]) == Price(input=3).tariff


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("{}", "a price says at least one of `input`, `output`, `cached_input` and `second`"),
        ("{input: 0.0000001}", "should have no more than 6 decimal places"),
        ("{second: -1}", "must be greater than or equal to 0"),
        ("{second: 0.0000000000001}", "should have no more than 12 decimal places"),
        ("{seconds: 1}", "`models.0.routes.0.price.seconds` is not known here"),
    ],
)
def test_a_price_that_cannot_be_counted_is_refused_with_its_line(price: str, said: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hybrid.yaml"
    path.write_text(
        "providers: {p: {kind: echo, models: [e]}}\nmodels:\n  - name: m\n    routes:\n      - provider: p\n"
        f"        price: {price}\n"
    )
    with pytest.raises(ConfigError, match=rf"hybrid.yaml:6: (.*\n)*.*{re.escape(said)}"):
        mesh.load(path)


def test_two_prices_of_one_model_are_refused_with_the_line_of_the_second(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hybrid.yaml"
    path.write_text(
        "providers: {p: {kind: echo, models: [e]}}\n"
        "models:\n"
        "  - {name: a, routes: [{provider: p, price: {input: 1}}]}\n"
        "  - {name: same, routes: [{provider: p, price: {input: 1.0, cached_input: 1}}]}\n"
        "  - name: b\n    routes:\n      - {provider: p, price: {input: 2}}\n"
    )
    with pytest.raises(ConfigError, match=r"hybrid\.yaml:7: .*model `b`: `e` of `p` has another price before"):
        mesh.load(path)


def test_engines_of_ones_own_cost_nothing_and_that_is_no_gap() -> None:
    config = _config(kind="echo")
    assert _tariff(config) is None
    assert not unpriced(config)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://gpu-box:8000/v1"])
def test_a_server_of_ones_own_has_no_public_tariff(base_url: str) -> None:
    assert public_tariff(base_url, "gpt-4o-mini") is None


def test_a_vendor_or_a_model_that_nobody_knows_has_no_price_and_the_check_says_so() -> None:
    assert public_tariff("https://api.example.com/v1", "gpt-4o-mini") is None
    config = _config(models=["model-that-is-not-there"])
    assert _tariff(config) is None
    assert "p/model-that-is-not-there: counts as free" in check.summary(config)
    assert "counts as free" not in check.summary(_config())


def test_who_buys_nothing_does_not_load_the_prices() -> None:
    script = "import sys, services.config.prices as p; p.public_tariff('http://127.0.0.1/v1', 'm'); "
    script += "sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0
