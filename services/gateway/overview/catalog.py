"""The models as they are told: their routes, what they cost, and how many workers stand behind each. Pure."""

import collections
from collections.abc import Iterable, Sequence

from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.config.mesh import MeshConfig
from services.gateway.overview.fleet import is_healthy
from services.gateway.overview.sight import Sight
from services.gateway.pricing.book import PriceBook


class Catalog:
    """The models of a configuration."""

    def __init__(self, config: MeshConfig, book: PriceBook) -> None:
        """`book` has its prices."""
        entries = book.table.entries
        prices = {(each.provider, each.provider_model): each for each in entries if not each.above_input_tokens}
        self._routes: dict[str, list[overview.RouteOverview]] = {}
        for entry in config.models:
            for route in entry.routes:
                asked = config.provider_model(route)
                price = prices[route.provider, asked]
                made = overview.RouteOverview(
                    provider=route.provider,
                    provider_model=asked,
                    role=route.role,
                    input_pico_usd=price.input_pico_usd,
                    output_pico_usd=price.output_pico_usd,
                    second_pico_usd=price.second_pico_usd,
                    price_source=price.source,
                )
                self._routes.setdefault(entry.name, []).append(made)

    def told(
        self, models: Iterable[model.Model], workers: Sequence[fleet.FleetWorker], sight: Sight
    ) -> list[overview.ModelOverview]:
        """Some models, with their routes as far as the caller may know of them. Shadows are the operator's."""
        counted: collections.Counter[tuple[str, str, str]] = collections.Counter()
        healthy: collections.Counter[tuple[str, str, str]] = collections.Counter()
        for worker in workers:
            for way in {(route.model, worker.provider, route.provider_model) for route in worker.routes}:
                counted[way] += 1
                healthy[way] += is_healthy(worker)
        found = []
        for each in models:
            made = overview.ModelOverview(
                name=each.name,
                aliases=each.aliases,
                context_tokens=each.context_tokens,
                capabilities=each.capabilities,
                routes=[
                    route
                    for route in self._routes.get(each.name, ())
                    if sight.sees(route.provider) and (sight.whole or route.role != "shadow")
                ],
            )
            for route in made.routes:
                way = (each.name, route.provider, route.provider_model)
                route.workers, route.healthy_workers = counted[way], healthy[way]
            found.append(made)
        return found
