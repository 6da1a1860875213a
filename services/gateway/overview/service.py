"""OverviewService: what this gateway knows of the mesh, as far as the caller may know it."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import grpc
from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.gateway.v1 import overview_service_pb2 as service
from hybridinference.gateway.v1 import overview_service_pb2_grpc as service_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.chassis.version import version
from services.config.mesh import MeshConfig
from services.gateway.fleet import FleetView
from services.gateway.identity import caller
from services.gateway.identity.grant import Grant
from services.gateway.models import Models
from services.gateway.overview import fleet, requests
from services.gateway.overview.catalog import Catalog
from services.gateway.overview.pace import Pace
from services.gateway.overview.processes import processes
from services.gateway.overview.recent import Recent
from services.gateway.overview.sight import Sight, sight_of
from services.gateway.pricing.book import PriceBook
from services.gateway.relay import Relay
from services.gateway.stamp import stamp
from services.gateway.validate import invalid

Context = grpc.aio.ServicerContext[Any, Any]
NAME = service.DESCRIPTOR.services_by_name["OverviewService"].full_name

MOST_REQUESTS = 200
_REQUESTS = 50


class OverviewServicer(service_grpc.OverviewServiceServicer):
    """Reads what is there. Nothing is asked of anybody for it."""

    def __init__(
        self,
        config: MeshConfig,
        book: PriceBook,
        fleet_view: FleetView,
        models: Models,
        recent: Recent,
        relay: Relay,
        *,
        gateway: str,
        router: Callable[[], str],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The arguments are what it reads.

        Args:
            config: what the mesh is made of.
            book: its prices.
            fleet_view: the workers.
            models: those that callers may name.
            recent: requests of this gateway.
            relay: knows whether callers may know the workers' names.
            gateway: this gateway's name.
            router: the name of the router that places now; "" where none answers.
            clock: seconds since 1970.
            monotonic: seconds on a clock that only goes forward.
        """
        self._fleet = fleet_view
        self._models = models
        self._recent = recent
        self._relay = relay
        self._gateway = gateway
        self._router = router
        self._clock = clock
        self._monotonic = monotonic
        self._pace = Pace()
        self._started_at = stamp(clock())
        self._version = version()
        self.reconfigure(config, book)

    def reconfigure(self, config: MeshConfig, book: PriceBook) -> None:
        """Tell of another configuration and its prices from now on."""
        self._config = config
        self._config_version = config.version
        self._names = config.names()
        self._catalog = Catalog(config, book)

    async def Overview(self, request: service.OverviewRequest, context: Context) -> service.OverviewResponse:
        if request.max_requests > MOST_REQUESTS:
            raise invalid("max_requests", f"must be at most {MOST_REQUESTS}")
        grant = caller.current()
        most = request.max_requests or _REQUESTS
        self._require_pace(grant, most)
        sight = sight_of(grant, show_worker=self._relay.show_worker)
        workers = self._fleet.workers
        healthy = sum(fleet.is_healthy(worker) for worker in workers)
        made = service.OverviewResponse(extent=sight.extent, healthy_workers=healthy, total_workers=len(workers))
        if sight.extent == overview.OVERVIEW_EXTENT_HEALTH:
            return made
        self._tell_own(made, grant, sight, most)
        if sight.whole:
            self._tell_all(made)
        return made

    def _require_pace(self, grant: Grant, most: int) -> None:
        # Without keys whoever asks may use everything else, too; and counts alone cost next to nothing.
        if not grant.key_id:
            return
        wait = self._pace.taken(grant.key_id, most, now=self._monotonic())
        if wait:
            raise Failure(
                reasons.ERROR_REASON_RATE_LIMITED,
                "This key asks for the overview too often; ask less often, or for fewer requests (`max_requests`).",
                retry_after=wait,
                limit="overview",
            )

    def _tell_own(self, made: service.OverviewResponse, grant: Grant, sight: Sight, most: int) -> None:
        made.gateway = self._gateway
        made.version = self._version
        made.config_version = self._config_version
        made.at.CopyFrom(stamp(self._clock()))
        made.started_at.CopyFrom(self._started_at)
        if sight.models:
            made.models.extend(self._catalog.told(self._models.all(grant), self._fleet.workers, sight))
        records = self._recent.latest(key_id=None if sight.whole else grant.key_id)
        made.requests.extend(requests.told(each, self._names, sight) for each in itertools.islice(records, most))

    def _tell_all(self, made: service.OverviewResponse) -> None:
        workers = self._fleet.workers
        made.processes.extend(processes(self._config, workers, gateway=self._gateway, router=self._router()))
        made.workers.extend(fleet.told(worker) for worker in workers)
        recent = self._recent
        made.totals.CopyFrom(
            overview.RequestTotals(
                running=recent.running,
                ended=recent.count,
                failed=recent.failed,
                input_tokens=recent.input_tokens,
                output_tokens=recent.output_tokens,
                cost_nano_usd=recent.cost_nano_usd,
            )
        )
