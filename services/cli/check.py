"""`hybrid check-config`: whether a configuration can be used, and what it says."""

import pathlib
import tempfile

from services.chassis.config import ConfigError
from services.cli import hosts
from services.cli.home import Home
from services.cli.problem import Problem
from services.config.mesh import MeshConfig
from services.config.model import Route
from services.config.prices import unpriced


def edge(config: MeshConfig, home: Home) -> None:
    """Have Envoy check what it would run with. Nothing of it is left.

    Raises:
        Problem: with what Envoy says.
    """
    from services.cli import edge as module  # slow to import, and `summary` needs none of it

    with tempfile.TemporaryDirectory(prefix="edge") as directory:
        try:
            module.validate(module.render(config, home=pathlib.Path(directory), files=home.path))
        except ConfigError as error:
            raise Problem("\n".join(error.problems), code=2) from error


def summary(config: MeshConfig) -> str:
    """A few lines about a configuration that is well-formed."""
    places = config.workers()
    lines = [f"edge       {config.edge.host}:{config.edge.port}{', TLS' if config.edge.tls else ''}"]
    lines += [f"host       {host}: {', '.join(sorted(config.on(host)))}" for host in config.hosts]
    where = hosts.sharing(config)
    if len(where) > 1:
        advice = f"has to be the same on {', '.join(where)}"
        lines += [f"shared     {name}, the key under which {what}, {advice}" for name, what in hosts.shared(config)]
    if len(config.routers()) > 1:
        lines.append(f"routers    {', '.join(place.address for place in config.routers())}")
    if len(config.gateways()) > 1:
        lines.append(f"gateways   {', '.join(place.address for place in config.gateways())}")
    for name, provider in config.providers.items():
        workers = sum(place.provider == name for place in places)
        count = f"{workers} worker{'s' if workers != 1 else ''}"
        lines.append(f"provider   {name}: {provider.kind}, {count}, serves {', '.join(provider.model_names)}")
    for model in config.models:
        routes = ", ".join(f"{route.provider}/{config.provider_model(route)}{_role(route)}" for route in model.routes)
        lines.append(f"model      {model.name}: {model.strategy.name} over {routes}")
    unknown = sorted("/".join(one) for one in unpriced(config))
    if unknown:
        lines.append(f"no price   {', '.join(unknown)}: counts as free; a `price` on the route says what it costs")
    lines.append(f"ledger     {'your PostgreSQL' if config.ledger.dsn else 'embedded PostgreSQL'}")
    lines.append(f"version    {config.version}")
    return "\n".join(lines)


def _role(route: Route) -> str:
    share = f" of {route.share * 100:.4g} %" if route.share else ""
    return "" if route.role == "primary" else f" ({route.role}{share})"
