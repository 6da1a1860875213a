"""The price table of a configuration."""

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation

from services.config.mesh import MeshConfig


class PriceBook:
    """What every route of a configuration costs. Immutable.

    Attributes:
        version: identifies the prices, whatever else the configuration says.
        table: all of it, for the ledger.
    """

    def __init__(self, config: MeshConfig) -> None:
        self.version = ""
        self.table = ledger.PriceTable(version=self.version)

    def cost(self, provider: str, provider_model: str, usage: generation.Usage | None, seconds: float) -> int:
        """What an attempt costs in nano-USD, rounded up; `seconds` from its start to its end."""
        return 0

    def dearest(self, model: str, *, input_tokens: int, output_tokens: int, seconds: float) -> int:
        """The most that a generation may cost in nano-USD on any route that serves `model`, rounded up."""
        return 0
