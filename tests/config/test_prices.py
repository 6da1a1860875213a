"""What vendors ask for their models."""

import subprocess
import sys

import pytest

from services.cli import check
from services.config.mesh import MeshConfig
from services.config.model import Price
from services.config.prices import price_of, public_price, unpriced

_OPENAI = "https://api.openai.com/v1"


def _config(route: dict[str, object] | None = None, **provider: object) -> MeshConfig:
    settings = {"kind": "openai", "api_keys": ["k"], "models": ["gpt-4o-mini"], **provider}
    if settings["kind"] == "echo":
        settings = {"kind": "echo", "models": ["gpt-4o-mini"]}
    return MeshConfig.model_validate(
        {"providers": {"p": settings}, "models": [{"name": "m", "routes": [{"provider": "p", **(route or {})}]}]}
    )


def _price(config: MeshConfig) -> Price | None:
    return price_of(config, config.models[0].routes[0])


def test_a_vendors_model_has_its_public_price() -> None:
    assert public_price(_OPENAI, "gpt-4o-mini") == Price(input=0.15, output=0.6, cached_input=0.075)
    assert _price(_config()) == Price(input=0.15, output=0.6, cached_input=0.075)


def test_gemini_has_its_public_price() -> None:
    config = _config(kind="gemini", models=["gemini-2.5-flash"])
    assert _price(config) == Price(input=0.3, output=2.5, cached_input=0.03)


def test_a_price_that_grows_with_the_prompt_is_taken_at_its_lowest() -> None:
    price = public_price("https://generativelanguage.googleapis.com", "gemini-2.5-pro")
    assert price is not None
    assert (price.input, price.output) == (1.25, 10.0)


def test_models_for_vectors_have_no_price_for_output() -> None:
    assert public_price(_OPENAI, "text-embedding-3-small") == Price(input=0.02, output=0.0)


def test_the_routes_own_price_comes_first() -> None:
    assert _price(_config({"price": {"input": 7, "output": 9}})) == Price(input=7, output=9)


def test_engines_of_ones_own_cost_nothing_and_that_is_no_gap() -> None:
    config = _config(kind="echo")
    assert _price(config) is None
    assert not unpriced(config, config.models[0].routes[0])


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://gpu-box:8000/v1"])
def test_a_server_of_ones_own_has_no_public_price(base_url: str) -> None:
    assert public_price(base_url, "gpt-4o-mini") is None


def test_a_vendor_or_a_model_that_nobody_knows_has_no_price_and_the_check_says_so() -> None:
    assert public_price("https://api.example.com/v1", "gpt-4o-mini") is None
    config = _config(models=["model-that-is-not-there"])
    assert _price(config) is None
    assert "p/model-that-is-not-there: counts as free" in check.summary(config)
    assert "counts as free" not in check.summary(_config())


def test_who_buys_nothing_does_not_load_the_prices() -> None:
    script = "import sys, services.config.prices as p; p.public_price('http://127.0.0.1/v1', 'm'); "
    script += "sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0
