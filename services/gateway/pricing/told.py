"""How callers are told what a request has cost."""

from hybridinference.gateway.v1 import inference_service_pb2 as inference

from services.config.tariff import as_usd

COST = "x-hybrid-cost-usd"


def cost_headers(route: inference.Route) -> tuple[tuple[str, str], ...]:
    """The header, or the trailing metadata; none before the cost is final."""
    return ((COST, as_usd(route.cost_nano_usd)),) if route.HasField("cost_nano_usd") else ()


def cost_comment(route: inference.Route) -> bytes:
    """A comment within a stream of events, whose headers are gone by then; none before the cost is final."""
    return b"".join(f": {name}: {value}\n\n".encode() for name, value in cost_headers(route))
