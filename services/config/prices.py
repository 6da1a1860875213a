"""What vendors ask for their models: public list prices, from data that come with a package."""

import datetime
import ipaddress
import urllib.parse
from typing import Any

from services.config.mesh import MeshConfig
from services.config.model import Price, Route
from services.config.provider import VendorProvider


def price_of(config: MeshConfig, route: Route) -> Price | None:
    """What tokens cost on a route.

    The route's own price if it has one, else the vendor's public one for requests of ordinary size and urgency. None
    where nothing is paid, as for engines of one's own, and where no price is known; `unpriced` tells these apart.
    """
    if route.price is not None:
        return route.price
    provider = config.providers[route.provider]
    if not isinstance(provider, VendorProvider):
        return None
    return public_price(provider.base_url, config.provider_model(route))


def unpriced(config: MeshConfig, route: Route) -> bool:
    """Whether a route leads to somebody who may ask for money, and nobody knows how much."""
    return isinstance(config.providers[route.provider], VendorProvider) and price_of(config, route) is None


def public_price(base_url: str, model: str) -> Price | None:
    """The price of a model at the vendor with that address, as published by `genai-prices`; None where it has none.

    Nothing is asked of the network. Of prices that grow with the prompt it is the lowest, which most prompts have.
    """
    if _is_near(base_url):
        return None
    # Half a second and some megabytes, only for those who buy.
    from genai_prices import data_snapshot

    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    prices = found.get_prices(datetime.datetime.now(datetime.UTC))
    asked = _usd(prices, "input_mtok")
    if asked is None:
        return None
    # Models for vectors have no output, and no price for it.
    return Price(input=asked, output=_usd(prices, "output_mtok") or 0.0, cached_input=_usd(prices, "cache_read_mtok"))


def _usd(prices: Any, unit: str) -> float | None:
    value = getattr(prices, unit, None)
    return None if value is None else float(getattr(value, "base", value))


def _is_near(base_url: str) -> bool:
    """Whether the address is of this host or a private network: a server of one's own."""
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host
