"""Workers, models and processes as they are told, and how much of them to whom."""

from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet

from services.chassis.deadline import to_duration
from services.config.mesh import MeshConfig
from services.gateway.identity.grant import ANYBODY, STRANGER, Grant
from services.gateway.overview import fleet as workers
from services.gateway.overview.catalog import Catalog
from services.gateway.overview.processes import processes
from services.gateway.overview.sight import Sight, sight_of
from services.gateway.pricing.book import PriceBook

CONFIG = MeshConfig.model_validate(
    {
        "gateway": {"instances": 2},
        "router": {"instances": 2},
        "ledger": {"dsn": "postgresql://db/x"},
        "hosts": {
            "a": ["envoy", "gateway", "gateway-2", "router", "router-2", "local-0", "local-1", "vendor-0", "admin"],
        },
        "providers": {"local": {"kind": "echo", "workers": 2}, "vendor": {"kind": "echo"}},
        "models": [
            {
                "name": "m",
                "aliases": ["also"],
                "routes": [
                    {"provider": "local", "price": {"input": 0.5, "output": 1.5}},
                    {"provider": "vendor", "role": "fallback"},
                    {"provider": "vendor", "role": "shadow", "share": 0.1},
                ],
            }
        ],
    }
)
ROUTE = fleet.FleetRoute(model="m", provider_model="echo")
FLEET = [
    fleet.FleetWorker(worker="local-0", provider="local", health=fleet.WORKER_HEALTH_HEALTHY, routes=[ROUTE, ROUTE]),
    fleet.FleetWorker(worker="local-1", provider="local", health=fleet.WORKER_HEALTH_EJECTED, routes=[ROUTE]),
]
ALL = Sight(overview.OVERVIEW_EXTENT_ALL, workers=True, models=True)


def test_how_much_is_told_depends_on_the_key_alone() -> None:
    def extent(grant: Grant) -> str:
        name = overview.OverviewExtent.Name(sight_of(grant, show_worker=False).extent)
        return name.removeprefix("OVERVIEW_EXTENT_")

    assert extent(STRANGER) == "HEALTH"
    assert extent(ANYBODY) == "ALL", "without keys"
    assert extent(Grant("k", "o")) == "OWN", "a key for everything is not for what is others'"
    assert extent(Grant("k", "o", scopes=frozenset({"generate"}))) == "OWN"
    assert extent(Grant("k", "o", scopes=frozenset({"overview"}))) == "ALL"


def test_a_key_hears_of_workers_where_callers_may_and_of_models_where_it_may_list_them() -> None:
    grant = Grant("k", "o", providers=("local",), scopes=frozenset({"generate"}))
    assert sight_of(grant, show_worker=True) == Sight(
        overview.OVERVIEW_EXTENT_OWN, workers=True, models=False, providers=("local",)
    )
    assert sight_of(Grant("k", "o"), show_worker=False).models


def test_a_worker_is_told_with_its_load_and_without_what_nobody_knows() -> None:
    status = worker_status.WorkerStatus(
        kind="vllm", running=3, waiting=1, capacity=8, kv_usage=0.25, emitted=99,
        headroom=[worker_status.Headroom(unit="tokens", remaining=5, limit=9)],
        prefixes=[worker_status.PrefixBlocks(model="m", hashes=[1])],
    )  # fmt: skip
    full = fleet.FleetWorker(
        worker="w", provider="p", address="unix:x", health=fleet.WORKER_HEALTH_STALLED, leases=4, status=status,
        first_content_latency=to_duration(0.5), status_age=to_duration(0.25), routes=[ROUTE, ROUTE],
    )  # fmt: skip
    made = workers.told(full)
    assert made == overview.WorkerOverview(
        worker="w", provider="p", kind="vllm", health="stalled", models=["m"], leases=4, running=3, waiting=1,
        capacity=8, emitted=99, kv_usage=0.25, headroom=status.headroom,
        first_content_latency=to_duration(0.5), status_age=to_duration(0.25),
    )  # fmt: skip
    bare = workers.told(fleet.FleetWorker(worker="w", health=fleet.WORKER_HEALTH_UNREACHABLE))
    assert bare == overview.WorkerOverview(worker="w", health="unreachable")
    assert workers.told(fleet.FleetWorker(health=77)).health == "unknown"  # type: ignore[arg-type]


def test_a_model_is_told_with_its_routes_their_workers_and_prices() -> None:
    (made,) = Catalog(CONFIG, PriceBook(CONFIG)).told([model.Model(name="m", context_tokens=7)], FLEET, ALL)
    assert [(route.provider, route.role) for route in made.routes] == [
        ("local", "primary"), ("vendor", "fallback"), ("vendor", "shadow")
    ]  # fmt: skip
    local, vendor, _ = made.routes
    assert (local.healthy_workers, local.workers) == (1, 2)
    assert (local.input_pico_usd, local.output_pico_usd, local.price_source) == (500_000, 1_500_000, "configuration")
    assert (vendor.healthy_workers, vendor.workers, vendor.price_source) == (0, 0, "free")


def test_a_key_is_told_of_no_shadow_and_of_no_provider_that_it_may_not_use() -> None:
    catalog, named = Catalog(CONFIG, PriceBook(CONFIG)), [model.Model(name="m")]
    own = Sight(overview.OVERVIEW_EXTENT_OWN, models=True)
    assert [route.role for route in catalog.told(named, FLEET, own)[0].routes] == ["primary", "fallback"]
    one = Sight(overview.OVERVIEW_EXTENT_OWN, models=True, providers=("vendor",))
    assert [route.role for route in catalog.told(named, FLEET, one)[0].routes] == ["fallback"]


def test_every_process_is_told_with_its_host_and_what_this_gateway_knows_of_it() -> None:
    made = {each.name: each for each in processes(CONFIG, FLEET, gateway="gateway-2", router="router")}
    assert {name: (each.role, each.host, each.state) for name, each in made.items()} == {
        "envoy": ("envoy", "a", "unknown"),
        "gateway": ("gateway", "a", "unknown"),
        "gateway-2": ("gateway", "a", "serving"),
        "router": ("router", "a", "serving"),
        "router-2": ("router", "a", "unknown"),
        "local-0": ("worker", "a", "healthy"),
        "local-1": ("worker", "a", "ejected"),
        "vendor-0": ("worker", "a", "unknown"),
        "loader": ("loader", "a", "unknown"),
        "loader-2": ("loader", "a", "unknown"),
        "admin": ("admin", "a", "unknown"),
    }
    alone = {each.name: each.state for each in processes(CONFIG, FLEET, gateway="gateway", router="")}
    assert (alone["router"], alone["router-2"]) == ("away", "away"), "it had to place by itself"
