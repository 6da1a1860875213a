"""`hybrid check-config`: whether a configuration can be used, and what it says."""

from services.config.mesh import MeshConfig


def summary(config: MeshConfig) -> str:
    """A few lines about a configuration that is well-formed."""
    places = config.workers()
    lines = [f"edge       {config.edge.host}:{config.edge.port}"]
    for name, provider in config.providers.items():
        workers = sum(place.provider == name for place in places)
        count = f"{workers} worker{'s' if workers != 1 else ''}"
        lines.append(f"provider   {name}: {provider.kind}, {count}, serves {', '.join(provider.model_names)}")
    for model in config.models:
        routes = ", ".join(
            f"{route.provider}/{config.provider_model(route)}" + (" (fallback)" if route.role == "fallback" else "")
            for route in model.routes
        )
        lines.append(f"model      {model.name}: {model.strategy} over {routes}")
    lines.append(f"ledger     {'your PostgreSQL' if config.ledger.dsn else 'embedded PostgreSQL'}")
    lines.append(f"version    {config.version}")
    return "\n".join(lines)
