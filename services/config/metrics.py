"""Where processes tell Prometheus of themselves: on unix sockets, or on ports that follow from one number."""

from typing import Literal, Self

import pydantic

from services.config.base import Section

Role = Literal["envoy", "admin", "gateway", "loader", "router", "worker"]

_LISTEN = "unix:run/{process}.metrics.sock"
_HOST = "127.0.0.1"
# By role, so that nobody's port moves when others come or go. Of no role are there more than a hundred but of workers.
_OFFSETS: dict[Role, int] = {"envoy": 0, "admin": 1, "gateway": 100, "loader": 200, "router": 300, "worker": 400}


class Metrics(Section):
    """Prometheus endpoints: a unix socket for each process, or a port for each."""

    listen: str = pydantic.Field(default=_LISTEN, description="One per process, unless there is a `port`.")
    host: str = pydantic.Field(default=_HOST, min_length=1, description="Where the ports are listened on.")
    port: int | None = pydantic.Field(
        default=None,
        ge=1,
        le=60_000,
        description="Ports for Prometheus: Envoy's; admin +1, gateways +100, loaders +200, routers +300, workers +400.",
    )

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.port is None and self.host != _HOST:
            raise ValueError("`host` is where ports are listened on: give a `port`, too")
        if self.port is not None and self.listen != _LISTEN:
            raise ValueError("`listen` and `port` are two ways to say the same: give one of them")
        return self

    def port_of(self, role: Role, index: int) -> int | None:
        """The port of the process with that number among those of its role, from 0; None: it has a socket."""
        return None if self.port is None else self.port + _OFFSETS[role] + index

    def address(self, process: str, role: Role, index: int) -> str:
        """Where a process listens, `unix:PATH` or `HOST:PORT`."""
        port = self.port_of(role, index)
        return self.listen.replace("{process}", process) if port is None else at(self.host, port)


class Observability(Section):
    """Prometheus and Alertmanager, which `hybrid up --observability` starts beside the mesh."""

    prometheus_port: int = pydantic.Field(default=9090, ge=1, le=65535, description="On 127.0.0.1.")
    alertmanager_port: int = pydantic.Field(default=9093, ge=1, le=65535, description="On 127.0.0.1.")

    @pydantic.model_validator(mode="after")
    def _apart(self) -> Self:
        if self.prometheus_port == self.alertmanager_port:
            raise ValueError("Prometheus and Alertmanager have the same port")
        return self


def at(host: str, port: int) -> str:
    """`HOST:PORT`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
