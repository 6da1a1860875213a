"""What a configuration's models cost: prices of its own, else public ones, from data that come with a package."""

import datetime
import decimal
import ipaddress
import math
import urllib.parse
from collections.abc import Mapping
from typing import Any

from services.config.mesh import MeshConfig
from services.config.model import Route
from services.config.provider import VendorProvider
from services.config.tariff import Tariff, Tier

# A USD for a million tokens is so many pico-USD for one.
_PICO_IN_MILLION = 10**6
_UNITS = ("input_mtok", "cache_read_mtok", "output_mtok")


def tariffs(config: MeshConfig) -> Mapping[tuple[str, str], Tariff | None]:
    """What every provider's model costs that a route leads to, by the provider's and the model's names.

    A route's own price, which is that of every route to the same model of the same provider; else the vendor's public
    one for requests of ordinary urgency. None where nothing is paid, as for engines of one's own, and where no price
    is known; `unpriced` tells these apart.
    """
    found: dict[tuple[str, str], Tariff | None] = {}
    every = [route for model in config.models for route in model.routes]
    for route in sorted(every, key=lambda one: one.price is None):
        key = (route.provider, config.provider_model(route))
        if route.price is not None:
            found[key] = route.price.tariff
        elif key not in found:
            provider = config.providers[route.provider]
            found[key] = public_tariff(provider.base_url, key[1]) if isinstance(provider, VendorProvider) else None
    return found


def tariff_of(config: MeshConfig, route: Route) -> Tariff | None:
    """What a route costs, as `tariffs` says."""
    return tariffs(config)[route.provider, config.provider_model(route)]


def unpriced(config: MeshConfig) -> frozenset[tuple[str, str]]:
    """Models of providers that may ask for money, where nobody knows how much."""
    return frozenset(
        key
        for key, tariff in tariffs(config).items()
        if tariff is None and isinstance(config.providers[key[0]], VendorProvider)
    )


def public_tariff(base_url: str, model: str) -> Tariff | None:
    """The price of a model at the vendor with that address, as published by `genai-prices`; None where it has none.

    Nothing is asked of the network. Prices that depend on the time of day or on a date are those of now. A fraction of
    a pico-USD for a token, which no vendor is known to ask for, would be rounded up.
    """
    if _is_near(base_url):
        return None
    # Half a second and some megabytes, only for those who buy.
    import genai_prices
    from genai_prices import data_snapshot

    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    prices = found.get_prices(datetime.datetime.now(datetime.UTC))
    asked, cached, answered = (getattr(prices, unit, None) for unit in _UNITS)
    if asked is None:
        return None
    starts = {0, *(tier.start for unit in (asked, cached, answered) for tier in getattr(unit, "tiers", ()))}
    tiers = tuple(
        Tier(
            start,
            input=_pico(asked, start),
            cached_input=_pico(asked if cached is None else cached, start),
            # Models for vectors have no output, and no price for it.
            output=_pico(answered, start),
        )
        for start in sorted(starts)
    )
    return Tariff(tiers, source=f"genai-prices {genai_prices.__version__}")


def _pico(price: Any, above: int) -> int:
    """Pico-USD for a token of a prompt with more than so many tokens."""
    if price is None:
        return 0
    usd = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= above:  # they are sorted
            usd = tier.price
    return math.ceil(decimal.Decimal(usd) * _PICO_IN_MILLION)


def _is_near(base_url: str) -> bool:
    """Whether the address is of this host or a private network: a server of one's own."""
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host
