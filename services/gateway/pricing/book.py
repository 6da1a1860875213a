"""The price table of a configuration."""

import hashlib
from collections.abc import Collection, Mapping

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation

from services.config.mesh import MeshConfig
from services.config.prices import tariffs, unpriced
from services.config.tariff import Tariff, Tier, micros

_FREE = Tariff((Tier(0, input=0, cached_input=0, output=0),), source="free")
_UNKNOWN = Tariff(_FREE.tiers, source="unknown")


class PriceBook:
    """What every route of a configuration costs. Immutable.

    Attributes:
        version: twelve hexadecimal digits of the prices' SHA-256, whatever else the configuration says.
        table: all of it, for the ledger.
        unpriced: provider and model of those that may ask for money, where nobody knows how much: they count as free.
    """

    def __init__(self, config: MeshConfig) -> None:
        self.unpriced = unpriced(config)
        self._tariffs = {
            key: tariff or (_UNKNOWN if key in self.unpriced else _FREE) for key, tariff in tariffs(config).items()
        }
        self._serving = _serving(config, self._tariffs)
        entries = [entry for key in sorted(self._tariffs) for entry in _entries(*key, self._tariffs[key])]
        content = ledger.PriceTable(entries=entries).SerializeToString(deterministic=True)
        self.version = hashlib.sha256(content).hexdigest()[:12]
        self.table = ledger.PriceTable(version=self.version, entries=entries)

    def cost(self, provider: str, provider_model: str, usage: generation.Usage | None, seconds: float) -> int:
        """What an attempt costs in nano-USD, rounded up; 0 where its price is unknown, or no route leads there.

        Args:
            provider: whose attempt it was.
            provider_model: the model as asked of the provider, by the placement.
            usage: its tokens; None is none.
            seconds: from its placement to its end, counted in whole microseconds.
        """
        tariff = self._tariffs.get((provider, provider_model), _UNKNOWN)
        tokens = usage or generation.Usage()
        return tariff.nano_usd(tokens.input_tokens, tokens.cached_tokens, tokens.output_tokens, micros(seconds))

    def most(self, provider: str, provider_model: str, *, input_tokens: int, output_tokens: int, seconds: float) -> int:
        """The most that an attempt there may cost in nano-USD, however much of its prompt is cached, rounded up.

        Args:
            provider: whose attempt it is.
            provider_model: the model as asked of the provider.
            input_tokens: of the prompt.
            output_tokens: of the longest answer.
            seconds: the longest that it may take.
        """
        tariff = self._tariffs.get((provider, provider_model), _UNKNOWN)
        return tariff.most_nano_usd(input_tokens, output_tokens, micros(seconds))

    def dearest(
        self, model: str, *, input_tokens: int, output_tokens: int, seconds: float, providers: Collection[str] = ()
    ) -> int:
        """The most that one attempt may cost in nano-USD, on any route that may serve `model`, rounded up.

        Args:
            model: a model's name or alias; of an unknown one it is 0.
            input_tokens: of the prompt, none of them cached.
            output_tokens: of the longest answer.
            seconds: the longest that the attempt may take.
            providers: those that may serve; empty is all.
        """
        return max(
            (
                tariff.most_nano_usd(input_tokens, output_tokens, micros(seconds))
                for provider, tariff in self._serving.get(model, ())
                if not providers or provider in providers
            ),
            default=0,
        )


def _serving(
    config: MeshConfig, prices: Mapping[tuple[str, str], Tariff]
) -> Mapping[str, tuple[tuple[str, Tariff], ...]]:
    """Provider and tariff of every route that may serve, by each of a model's names."""
    serving: dict[str, tuple[tuple[str, Tariff], ...]] = {}
    for model in config.models:
        found = tuple(
            (route.provider, prices[route.provider, config.provider_model(route)])
            for route in model.routes
            if route.role != "shadow"
        )
        serving |= dict.fromkeys((model.name, *model.aliases), found)
    return serving


def _entries(provider: str, provider_model: str, tariff: Tariff) -> list[ledger.PriceEntry]:
    return [
        ledger.PriceEntry(
            provider=provider,
            provider_model=provider_model,
            above_input_tokens=tier.above_input_tokens,
            input_pico_usd=tier.input,
            cached_input_pico_usd=tier.cached_input,
            output_pico_usd=tier.output,
            second_pico_usd=tariff.second,
            source=tariff.source,
        )
        for tier in tariff.tiers
    ]
