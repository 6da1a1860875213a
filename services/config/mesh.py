"""The whole file: processes, providers, models."""

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping
from typing import Literal, Self

import pydantic

from services.chassis import config
from services.chassis.mistake import Misfit
from services.config.access import Access, Admin
from services.config.base import Section
from services.config.flags import Flags
from services.config.loopback import is_loopback
from services.config.model import Model, Route
from services.config.provider import Provider
from services.config.router import Router
from services.config.tariff import Tariff

# What a browser sends: a scheme, a host, and a port unless it is the scheme's own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(?:[0-9]{1,5}|\*))?")
_HOST = re.compile(r"[A-Za-z0-9._-]+")

# More than any one host has use for.
MOST_GATEWAYS = 64


class Tls(Section):
    """The edge's certificate. Files, never their content; relative paths are meant from the mesh's home."""

    certificate: str = pydantic.Field(min_length=1, description="PEM file: the certificate, then those in between.")
    key: str = pydantic.Field(min_length=1, description="PEM file of the private key.")
    client_ca: str | None = pydantic.Field(
        default=None, min_length=1, description="PEM file; with it callers need a certificate signed by one of these."
    )


class Limits(Section):
    """What callers may send, how much and how slowly. The gateway's own limits stand above them."""

    request_bytes: int = pydantic.Field(default=32 << 20, ge=1024, le=60 << 20, description="A body below /v1.")
    typed_request_bytes: int = pydantic.Field(default=4 << 20, ge=1024, le=60 << 20, description="A body below /api.")
    headers_kib: int = pydantic.Field(default=60, ge=8, le=60, description="All headers of a request.")
    requests_per_second: int = pydantic.Field(default=5000, ge=1, le=4_000_000_000, description="Of all callers.")
    connections: int = pydantic.Field(default=10_000, ge=1, description="Connections at once.")
    streams_per_connection: int = pydantic.Field(default=256, ge=1, le=2**31 - 1, description="On HTTP/2.")
    header_seconds: float = pydantic.Field(default=10.0, ge=0.1, description="Until all headers are there.")
    request_seconds: float = pydantic.Field(default=300.0, ge=0.1, description="Until the whole request is there.")
    idle_seconds: float = pydantic.Field(default=300.0, ge=0.1, description="Of a connection without requests.")


class Edge(Section):
    """Envoy."""

    host: str = "127.0.0.1"
    port: int = pydantic.Field(default=8080, ge=1, le=65535)
    tls: Tls | None = pydantic.Field(default=None, description="Default: none, plain HTTP.")
    limits: Limits = Limits()
    cors_origins: tuple[str, ...] = pydantic.Field(
        default=("http://localhost:*", "https://localhost:*", "http://127.0.0.1:*", "https://127.0.0.1:*"),
        description="Pages that browsers let call: SCHEME://HOST[:PORT]; port * is any or none, * alone every page.",
    )

    hosts: tuple[str, ...] = pydantic.Field(
        default=(),
        description="Without keys: names by which it may be called beside localhost and addresses; * alone is any.",
    )

    @pydantic.field_validator("hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if host != "*" and not _HOST.fullmatch(host):
                raise ValueError(f"`{host}` is not the name of a host: without a scheme, a port or a path")
        return hosts

    @pydantic.field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"`{origin}` is not an origin: SCHEME://HOST or SCHEME://HOST:PORT, without a path")
        return origins


class Gateway(Section):
    """The gateways, each with a spool."""

    instances: int = pydantic.Field(
        default=1, ge=1, le=MOST_GATEWAYS, description="Processes; more than one share the load."
    )
    listen: str | tuple[str, ...] = pydantic.Field(
        default="unix:run/gateway.sock", description="unix:PATH or HOST:PORT; a list names one for each process."
    )
    spool: str = pydantic.Field(default="spool", description="Directory of the spool; of the second, with -2 added.")
    spool_bytes: int = pydantic.Field(
        default=1 << 30,
        ge=1 << 20,
        description="Bytes of a spool that is not loaded, at which strict keys are refused.",
    )
    tenant_key: str = pydantic.Field(
        default="tenant.key", description="File of the key under which callers are marked; made where it is missing."
    )
    timeout_seconds: float = pydantic.Field(default=600.0, gt=0, description="Longest request.")
    idle_seconds: float = pydantic.Field(default=60.0, gt=0, description="Longest silence of a worker within a stream.")
    slow_reader_seconds: float = pydantic.Field(default=60.0, gt=0, description="How long a client may not read.")
    drain_seconds: float = pydantic.Field(default=30.0, ge=0, description="How long running calls may finish on stop.")
    max_running: int = pydantic.Field(default=4096, ge=1, description="Most requests under way at once.")
    max_shadows: int = pydantic.Field(
        default=64, ge=0, description="Most attempts at once on shadow routes; those beyond are not sent."
    )
    waiting_bytes: int = pydantic.Field(
        default=64 << 20, ge=0, description="Most bytes of prompts that wait here for a worker."
    )
    show_worker: bool = pydantic.Field(default=False, description="Whether callers are told which worker served them.")
    allow_pinning: bool = pydantic.Field(default=False, description="Whether callers may choose the worker.")
    keep_alive_seconds: float = pydantic.Field(
        default=15.0, ge=0, description="Silence on a stream of /v1 after which a comment is sent. 0: none is."
    )


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
        """The DSN that a process uses: the one it was given, else the configuration's; empty where there is none."""
        return given or (self.dsn.get_secret_value() if self.dsn else "")


class Metrics(Section):
    """Prometheus endpoints."""

    listen: str = pydantic.Field(default="unix:run/{process}.metrics.sock", description="One per process.")


class Log(Section):
    """Logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerPlace:
    """One worker process: `name` is `<provider>-<index>`."""

    name: str
    provider: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class GatewayPlace:
    """One gateway process with its spool and the loader of that: `gateway` and `loader`, `gateway-2` and `loader-2`."""

    name: str
    address: str
    spool: str
    loader: str


class MeshConfig(Section):
    """The whole configuration. `version` identifies its content."""

    edge: Edge = Edge()
    gateway: Gateway = Gateway()
    router: Router = Router()
    access: Access = Access()
    admin: Admin = Admin()
    ledger: Ledger = Ledger()
    metrics: Metrics = Metrics()
    log: Log = Log()
    providers: dict[str, Provider] = pydantic.Field(min_length=1)
    models: tuple[Model, ...] = pydantic.Field(min_length=1)
    flags: Flags = Flags()

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.providers:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise Misfit(f"provider `{name}`: a name is letters, digits, - and _", "providers", name)
        addresses: set[str] = set()
        for place in self.workers():
            if place.address in addresses:
                raise Misfit(f"two workers have the address {place.address}", "providers", place.provider, "workers")
            addresses.add(place.address)
        self._check_gateways()
        self._check_access()
        seen: set[str] = set()
        for number, model in enumerate(self.models):
            for field, name in (("name", model.name), *(("aliases", alias) for alias in model.aliases)):
                if name in seen:
                    raise Misfit(f"model `{name}` is given twice", "models", number, field)
                seen.add(name)
            for index, route in enumerate(model.routes):
                self._check(model, route, "models", number, "routes", index)
        self._check_prices()
        for switch, flag in (("hedging", self.flags.hedging), ("continuation", self.flags.continuation)):
            for name in flag.models:
                if name not in {model.name for model in self.models}:
                    known = ", ".join(model.name for model in self.models)
                    message = f"flags: there is no model `{name}`; there are: {known}"
                    raise Misfit(message, "flags", switch, "models")
        self._check_ceilings()
        return self

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
        own = [model.name for model in self.models]
        for number, operator in enumerate(self.admin.operators):
            for name in operator.ceiling.models or ():
                if name not in own:
                    message = f"operator `{operator.name}`: there is no model `{name}`; there are: {', '.join(own)}"
                    raise Misfit(message, "admin", "operators", number, "ceiling", "models")

    def _check_gateways(self) -> None:
        listen, instances = self.gateway.listen, self.gateway.instances
        if isinstance(listen, str):
            if instances > 1 and not listen.startswith("unix:"):
                raise Misfit(
                    f"`gateway.listen`: {instances} gateways need a list of {instances} addresses", "gateway", "listen"
                )
        elif not listen:
            raise Misfit("`gateway.listen` names no address", "gateway", "listen")
        elif "instances" in self.gateway.model_fields_set and instances != len(listen):
            raise Misfit(f"`gateway.listen` has {len(listen)} addresses for {instances} gateways", "gateway", "listen")
        addresses = [place.address for place in self.gateways()]
        if len(set(addresses)) < len(addresses):
            raise Misfit("two gateways have the same address", "gateway", "listen")

    def _check_access(self) -> None:
        """Without keys nobody else may reach what spends money: any neighbour could."""
        if not self.access.keyless:
            return
        advice = "without keys only this host may call: listen on 127.0.0.1, or remove `access.keyless` and make keys"
        if not is_loopback(self.edge.host):
            raise Misfit(f"`edge.host` is {self.edge.host}; {advice}", "edge", "host")
        for place in self.gateways():
            if not place.address.startswith("unix:") and not is_loopback(place.address.rpartition(":")[0]):
                raise Misfit(f"`gateway.listen` has {place.address}; {advice}", "gateway", "listen")

    def _check(self, model: Model, route: Route, *where: str | int) -> None:
        provider = self.providers.get(route.provider)
        if provider is None:
            known = ", ".join(sorted(self.providers))
            message = f"model `{model.name}`: no provider `{route.provider}`; there are: {known}"
            raise Misfit(message, *where, "provider")
        if route.model and route.model not in provider.model_names:
            served = ", ".join(provider.model_names)
            message = f"model `{model.name}`: `{route.provider}` serves {served}, not `{route.model}`"
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
        places = []
        for name, provider in self.providers.items():
            if isinstance(provider.workers, int):
                addresses = tuple(f"unix:run/worker-{name}-{index}.sock" for index in range(provider.workers))
            else:
                addresses = provider.workers
            places += [WorkerPlace(f"{name}-{index}", name, address) for index, address in enumerate(addresses)]
        return tuple(places)

    def gateways(self) -> tuple[GatewayPlace, ...]:
        """Every gateway, in the order of the file."""
        listen = self.gateway.listen
        count = self.gateway.instances if isinstance(listen, str) else len(listen)
        places = []
        for index in range(count):
            mark = f"-{index + 1}" if index else ""
            if isinstance(listen, str):
                path = pathlib.PurePath(listen)
                address = f"{listen.removesuffix(path.suffix)}{mark}{path.suffix}" if mark else listen
            else:
                address = listen[index]
            places.append(GatewayPlace(f"gateway{mark}", address, f"{self.gateway.spool}{mark}", f"loader{mark}"))
        return tuple(places)

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

    def provider_model(self, route: Route) -> str:
        """The provider's name for the model of a route."""
        return route.model or self.providers[route.provider].model_names[0]

    def metrics_address(self, process: str) -> str:
        """Where a process serves its metrics."""
        return self.metrics.listen.replace("{process}", process)


def load(path: pathlib.Path, environment: Mapping[str, str] | None = None) -> MeshConfig:
    """Read the configuration.

    Raises:
        ConfigError: naming file and line of every problem.
    """
    return config.load(path, MeshConfig, environment)
