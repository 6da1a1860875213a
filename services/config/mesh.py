"""The whole file: processes, providers, models."""

import hashlib
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, Self

import pydantic

from services.chassis import config, secrets
from services.chassis.mistake import Misfit, meant
from services.config import places
from services.config.access import Access, Admin
from services.config.base import Section
from services.config.edge import Edge
from services.config.flags import Flags
from services.config.gateway import Gateway
from services.config.loopback import is_exposed, is_loopback
from services.config.metrics import Metrics, Observability, Role
from services.config.model import Model, Route
from services.config.mtls import Mtls
from services.config.places import GatewayPlace, RouterPlace, WorkerPlace
from services.config.provider import Provider, VllmProvider
from services.config.router import Router
from services.config.tariff import Tariff
from services.config.tracing import Tracing


class Ledger(Section):
    """PostgreSQL."""

    dsn: pydantic.SecretStr | None = pydantic.Field(default=None, description="Default: an embedded server.")
    retention_months: int | None = pydantic.Field(
        default=None, ge=1, le=1200, description="Whole months that rows are kept after their own. Default: for ever."
    )
    replay_hours: float = pydantic.Field(
        default=24.0, ge=0, le=24 * 31, description="How long a loaded segment is kept, to be loaded again if need be."
    )

    def address(self, given: str | None) -> str:
        """The DSN that a process uses: the one it was given, else the configuration's; empty where there is none.

        Raises:
            ConfigError: the configuration's is in a file that this process was not given.
        """
        dsn = given or (self.dsn.get_secret_value() if self.dsn else "")
        if secrets.withheld(dsn):
            raise config.ConfigError([f"`ledger.dsn`: {secrets.ADVICE}"])
        return dsn


class Log(Section):
    """Logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class MeshConfig(Section):
    """The whole configuration. `version` identifies its content."""

    edge: Edge = Edge()
    gateway: Gateway = Gateway()
    router: Router = Router()
    access: Access = Access()
    admin: Admin = Admin()
    ledger: Ledger = Ledger()
    metrics: Metrics = Metrics()
    observability: Observability = Observability()
    log: Log = Log()
    tracing: Tracing | None = pydantic.Field(default=None, description="Default: no traces.")
    mtls: Mtls | None = pydantic.Field(
        default=None, description="TLS on every address between processes that is no unix socket. Default: none."
    )
    encrypted_network: bool = pydantic.Field(
        default=False,
        description="The network between processes encrypts and lets in the mesh alone, as a VPN or a service mesh.",
    )
    hosts: dict[str, tuple[str, ...]] = pydantic.Field(
        default_factory=dict,
        description="By a name of a host, the processes that it runs; loaders are with their gateways. Default: one.",
    )
    providers: dict[str, Provider] = pydantic.Field(min_length=1)
    models: tuple[Model, ...] = pydantic.Field(min_length=1)
    flags: Flags = Flags()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.providers:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise Misfit(f"provider `{name}`: a name is letters, digits, - and _", "providers", name)
        self._check_addresses()
        self._check_workers()
        self._check_places()
        self._check_ports()
        self._check_access()
        seen: dict[str, str] = {}
        for number, model in enumerate(self.models):
            for field, name in (("name", model.name), *(("aliases", alias) for alias in model.aliases)):
                if name in seen:
                    message = f"model `{name}` is given twice: it is a name or an alias of `{seen[name]}` already"
                    raise Misfit(message, "models", number, field)
                seen[name] = model.name
            for index, route in enumerate(model.routes):
                self._check(model, route, "models", number, "routes", index)
        self._check_prices()
        for switch, flag in (("hedging", self.flags.hedging), ("continuation", self.flags.continuation)):
            for name in flag.models:
                self._check_name(name, "flags", "flags", switch, "models")
        self._check_ceilings()
        self._check_network()
        return self

    def _check_workers(self) -> None:
        addresses: set[str] = set()
        for place in self.workers():
            if place.address in addresses:
                raise Misfit(f"two workers have the address {place.address}", "providers", place.provider, "workers")
            addresses.add(place.address)
            if place.by_name and not places.NAMED.fullmatch(place.address):
                message = f"`{place.address}` is no name of DNS: dns:///HOST:PORT"
                raise Misfit(message, "providers", place.provider, "workers")

    def _check_prices(self) -> None:
        """What a provider's model costs does not depend on the name under which it was asked for."""
        priced: dict[tuple[str, str], Tariff] = {}
        for number, model in enumerate(self.models):
            for index, route in enumerate(model.routes):
                if route.price is None:
                    continue
                asked, price = self.provider_model(route), route.price.tariff
                if priced.setdefault((route.provider, asked), price) != price:
                    message = f"model `{model.name}`: `{asked}` of `{route.provider}` has another price before"
                    raise Misfit(message, "models", number, "routes", index, "price")

    def _check_ceilings(self) -> None:
        for number, operator in enumerate(self.admin.operators):
            for name in operator.ceiling.models or ():
                where = ("admin", "operators", number, "ceiling", "models")
                self._check_name(name, f"operator `{operator.name}`", *where)

    def _check_name(self, name: str, whose: str, *where: str | int) -> None:
        """What is said of a model is said of its own name."""
        named = self.names()
        if name not in named:
            message = f"{whose}: there is no model `{name}`; {meant(name, named.values())}"
            raise Misfit(message, *where)
        if named[name] != name:
            raise Misfit(f"{whose}: `{name}` is an alias; name the model itself, `{named[name]}`", *where)

    def _check_addresses(self) -> None:
        found: list[tuple[str, tuple[str, ...]]] = [(each.address, ("gateway", "listen")) for each in self.gateways()]
        found += [(each.address, ("router", "listen")) for each in self.routers()]
        workers = [each for each in self.workers() if not each.by_name]
        found += [(each.address, ("providers", each.provider, "workers")) for each in workers]
        for address, where in found:
            if not places.is_address(address):
                raise Misfit(f"`{'.'.join(where)}`: `{address}` is no address: unix:PATH or HOST:PORT", *where)

    def _check_places(self) -> None:
        for kind, section in (("gateway", self.gateway), ("router", self.router)):
            counted = "instances" in section.model_fields_set
            wrong = places.mistake(section.listen, section.instances, counted=counted, what=f"{kind}s")
            if wrong is not None:
                raise Misfit(f"`{kind}.listen`: {wrong}", kind, "listen")
        if not self.hosts:
            return
        wrong = places.misplaced(self.hosts, self._once(), ("envoy",))
        if wrong is not None:
            raise Misfit(f"`hosts`: {wrong}", "hosts")
        if len(self.hosts) > 1 and self.ledger.dsn is None:
            raise Misfit("`hosts`: several need a PostgreSQL that all of them reach: `ledger.dsn`", "hosts")
        self._check_reach()

    def _check_reach(self) -> None:
        """Whoever calls a process from another host needs an address that leads there."""
        gateways = {place.name for place in self.gateways()}
        routers = {place.name for place in self.routers()}
        listening = {place.name: place.address for place in self.gateways()}
        listening |= {place.name: place.address for place in self.routers()}
        listening |= {place.name: place.address for place in self.workers() if not place.by_name}
        callers = dict.fromkeys(listening, gateways | routers)
        callers |= dict.fromkeys(routers, gateways) | dict.fromkeys(gateways, gateways | {"envoy"})
        found = places.unreachable(self.hosts, listening, callers)
        if found is not None:
            name, address = found
            raise Misfit(
                f"`hosts`: `{name}` listens on {address}, and processes of other hosts have to reach it: "
                "give it an address HOST:PORT of its host",
                "hosts",
            )

    def _once(self) -> tuple[str, ...]:
        """Processes that run once in a mesh, beside the loaders."""
        names = [place.name for place in self.gateways()]
        names += [place.name for place in self.routers()]
        names += [place.name for place in self.workers() if not place.by_name]
        return ("admin", *names)

    def _check_ports(self) -> None:
        """No port of the metrics is one where something else of the mesh listens."""
        if self.metrics.port is None:
            return
        for name, role, index in self.roles():
            port = self.metrics.port_of(role, index)
            for setting, taken in self._ports():
                if port == taken:
                    message = f"`metrics.port`: {name} would have port {port}, which is `{setting}`; choose another"
                    raise Misfit(message, "metrics", "port")

    def _ports(self) -> Iterator[tuple[str, int]]:
        """Every other port of the configuration, with the setting that names it."""
        yield "edge.port", self.edge.port
        yield "observability.prometheus_port", self.observability.prometheus_port
        yield "observability.alertmanager_port", self.observability.alertmanager_port
        listens = [("gateway.listen", place.address) for place in self.gateways()]
        listens += [("router.listen", place.address) for place in self.routers()]
        listens += [(f"providers.{place.provider}.workers", place.address) for place in self.workers()]
        for setting, address in (*listens, ("admin.listen", self.admin.listen)):
            port = address.rpartition(":")[2]
            if not address.startswith("unix:") and port.isdigit():
                yield setting, int(port)

    def _check_access(self) -> None:
        """Without keys nobody else may reach what spends money: any neighbour could."""
        if not self.access.keyless:
            return
        advice = "without keys only this host may call: listen on 127.0.0.1, or remove `access.keyless` and make keys"
        if not is_loopback(self.edge.host):
            raise Misfit(f"`edge.host` is {self.edge.host}; {advice}", "edge", "host")
        for place in self.gateways():
            # With certificates none but the edge and other gateways get in there.
            if self.mtls is None and is_exposed(place.address):
                raise Misfit(f"`gateway.listen` has {place.address}; {advice}", "gateway", "listen")

    def _check_network(self) -> None:
        """What others than this host reach is neither plain text nor open to everybody there."""
        if self.mtls is not None or self.encrypted_network:
            return
        found: list[tuple[str, tuple[str, ...]]] = [(self.admin.listen, ("admin", "listen"))]
        found += [(place.address, ("gateway", "listen")) for place in self.gateways()]
        found += [(place.address, ("router", "listen")) for place in self.routers()]
        found += [(place.address, ("providers", place.provider, "workers")) for place in self.workers()]
        for address, where in found:
            if is_exposed(address):
                raise Misfit(
                    f"`{'.'.join(where)}` has {address}, which is reached from elsewhere, in the clear and by "
                    "everybody: give each process a certificate (`mtls`; `hybrid certs` makes some for trials), or say "
                    "`encrypted_network: true` where the network sees to that, as a VPN or a service mesh does",
                    *where,
                )

    def _check(self, model: Model, route: Route, *where: str | int) -> None:
        provider = self.providers.get(route.provider)
        if provider is None:
            message = f"model `{model.name}`: no provider `{route.provider}`; {meant(route.provider, self.providers)}"
            raise Misfit(message, *where, "provider")
        if route.model and route.model not in provider.model_names:
            names = provider.model_names
            message = (
                f"model `{model.name}`: `{route.provider}` does not serve `{route.model}`; {meant(route.model, names)}"
            )
            raise Misfit(message, *where, "model")
        if not route.model and len(provider.model_names) != 1:
            raise Misfit(f"model `{model.name}`: say which model of `{route.provider}` to use", *where)

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the content's SHA-256; secrets are not part of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def names(self) -> dict[str, str]:
        """The model's own name for every name and alias that callers may give."""
        return {name: model.name for model in self.models for name in (model.name, *model.aliases)}

    def workers(self) -> tuple[WorkerPlace, ...]:
        """Every worker of every provider, in the order of the file."""
        found = []
        for name, provider in self.providers.items():
            if isinstance(provider.workers, int):
                addresses = tuple(f"unix:run/worker-{name}-{index}.sock" for index in range(provider.workers))
            else:
                addresses = provider.workers
            found += [WorkerPlace(f"{name}-{index}", name, address) for index, address in enumerate(addresses)]
        return tuple(found)

    def gateways(self) -> tuple[GatewayPlace, ...]:
        """Every gateway, in the order of the file."""
        return tuple(
            GatewayPlace(f"gateway{each.mark}", each.address, f"{self.gateway.spool}{each.mark}", f"loader{each.mark}")
            for each in places.instances(self.gateway.listen, self.gateway.instances)
        )

    def routers(self) -> tuple[RouterPlace, ...]:
        """Every router, in the order of the file."""
        return tuple(
            RouterPlace(f"router{each.mark}", each.address)
            for each in places.instances(self.router.listen, self.router.instances)
        )

    def router_place(self, name: str) -> RouterPlace:
        """The router of that name.

        Raises:
            ConfigError: there is none.
        """
        for place in self.routers():
            if place.name == name:
                return place
        known = ", ".join(place.name for place in self.routers())
        raise config.ConfigError([f"no router `{name}`; there are: {known}"])

    def gateway_place(self, name: str) -> GatewayPlace:
        """The gateway of that name.

        Raises:
            ConfigError: there is none.
        """
        for place in self.gateways():
            if place.name == name:
                return place
        known = ", ".join(place.name for place in self.gateways())
        raise config.ConfigError([f"no gateway `{name}`; there are: {known}"])

    def on(self, host: str) -> frozenset[str]:
        """The processes that a host of `hosts` runs, loaders with their gateways.

        Raises:
            KeyError: there is no such host.
        """
        named = frozenset(self.hosts[host])
        return named | {place.loader for place in self.gateways() if place.name in named}

    def beside(self, process: str) -> frozenset[str]:
        """The processes on the host that runs this one, itself included; all of them where one host runs everything."""
        for host in self.hosts:
            found = self.on(host)
            if process in found:
                return found
        return frozenset((*self._once(), "envoy", *(place.loader for place in self.gateways())))

    def engine_cores(self, beside: Collection[str]) -> int:
        """Cores that the engines among these processes keep busy: one for each GPU, else as many as threads.

        Where no hosts are named, workers at another address than this host's count nowhere.
        """
        workers = (place for place in self.workers() if place.name in beside)
        here = (self.providers[place.provider] for place in workers if self.hosts or not is_exposed(place.address))
        engines = [provider for provider in here if isinstance(provider, VllmProvider)]
        return sum(len(engine.devices) or engine.threads for engine in engines)

    def provider_model(self, route: Route) -> str:
        """The provider's name for the model of a route."""
        return route.model or self.providers[route.provider].model_names[0]

    @property
    def trace_share(self) -> float:
        """The share of the traces beginning here that are kept."""
        return 0.0 if self.tracing is None else self.tracing.share

    def roles(self) -> tuple[tuple[str, Role, int], ...]:
        """Every process that tells of itself: its name, its role, and its number among those of that role, from 0."""
        found: list[tuple[str, Role, int]] = [("envoy", "envoy", 0), ("admin", "admin", 0)]
        for index, gateway in enumerate(self.gateways()):
            found += [(gateway.name, "gateway", index), (gateway.loader, "loader", index)]
        found += [(router.name, "router", index) for index, router in enumerate(self.routers())]
        found += [(worker.name, "worker", index) for index, worker in enumerate(self.workers())]
        return tuple(found)

    def metrics_address(self, process: str) -> str:
        """Where a process serves its metrics.

        Raises:
            ConfigError: there is no such process.
        """
        for name, role, index in self.roles():
            if name == process:
                return self.metrics.address(name, role, index)
        known = ", ".join(name for name, _, _ in self.roles())
        raise config.ConfigError([f"no process `{process}`; there are: {known}"])


def load(path: pathlib.Path, environment: Mapping[str, str] | None = None) -> MeshConfig:
    """Read the configuration.

    Raises:
        ConfigError: naming file and line of every problem.
    """
    return config.load(path, MeshConfig, environment)
