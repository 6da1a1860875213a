"""The mesh's processes, as one of its gateways sees them. Pure."""

from collections.abc import Iterable, Iterator

from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.config.mesh import MeshConfig
from services.gateway.overview.fleet import UNKNOWN, health_word

_SERVING, _AWAY = "serving", "away"


def processes(
    config: MeshConfig, workers: Iterable[fleet.FleetWorker], *, gateway: str, router: str
) -> Iterator[overview.ProcessOverview]:
    """Every process that the configuration has, in the order in which requests meet them.

    Args:
        config: what is to run.
        workers: as the router told last.
        gateway: the name of the gateway that tells.
        router: the name of the router that places its requests; "" where none answers.
    """
    hosts = {name: host for host, names in config.hosts.items() for name in names}
    health = {worker.worker: health_word(worker) for worker in workers}

    def made(name: str, role: str, state: str = UNKNOWN) -> overview.ProcessOverview:
        return overview.ProcessOverview(name=name, role=role, host=hosts.get(name, ""), state=state)

    yield made("envoy", "envoy")
    for place in config.gateways():
        yield made(place.name, "gateway", _SERVING if place.name == gateway else UNKNOWN)
    for router_place in config.routers():
        # One is enough, and the others are not asked.
        state = _SERVING if router_place.name == router else UNKNOWN if router else _AWAY
        yield made(router_place.name, "router", state)
    for worker in config.workers():
        yield made(worker.name, "worker", health.get(worker.name, UNKNOWN))
    for place in config.gateways():
        hosts.setdefault(place.loader, hosts.get(place.name, ""))  # a loader is with its gateway
        yield made(place.loader, "loader")
    yield made("admin", "admin")
