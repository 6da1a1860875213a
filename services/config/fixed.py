"""What a running process cannot take up: where it listens, and what it holds open."""

from services.chassis.config import ConfigError
from services.config.mesh import MeshConfig

# What `hybrid reload` names before it asks anybody, and `hybrid config diff`.
KEYS = (
    "router.listen",
    "router.instances",
    "metrics.listen",
    "metrics.host",
    "metrics.port",
    "observability.prometheus_port",
    "observability.alertmanager_port",
    "ledger.dsn",
    "gateway.spool",
    "gateway.tenant_key",
    "gateway.spool_bytes",
    "access.keyless",
    "access.pepper",
    "admin.listen",
)
SECTIONS = ("mtls", "hosts", "tracing")


def require_same(running: MeshConfig, wanted: MeshConfig, *, source: str) -> None:
    """Refuse a configuration that differs in what takes effect only at a start.

    Gateways may be more or fewer; those that there are in both stay where they are.

    Raises:
        ConfigError: naming the keys.
    """
    changed = [key for key in KEYS if _value(running, key) != _value(wanted, key)]
    before = {place.name: place.address for place in running.gateways()}
    if any(before.get(place.name, place.address) != place.address for place in wanted.gateways()):
        changed.append("gateway.listen")
    changed += [key for key in SECTIONS if getattr(running, key) != getattr(wanted, key)]
    if changed:
        raise ConfigError([f"{source}: `{key}` takes effect at restart; the rest waits for it, too" for key in changed])


def _value(config: MeshConfig, key: str) -> object:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)
