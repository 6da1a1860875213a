"""How fast a model is served: what a request is expected to take, learned from what others took."""

import dataclasses

# Weight of what was known before, for each new observation.
_KEEP = 0.995
_OUTPUT_TOKENS = 300.0


@dataclasses.dataclass(slots=True)
class PoolSpeeds:
    """What holds for all workers of a model. Each worker's own slowness multiplies it.

    Attributes:
        prefill: prompt tokens that are read in a second.
        alpha: seconds for a token of an answer, with nothing else running.
        beta: seconds that each generation running beside it adds to that.
        output_tokens: mean length of an answer.
        samples: number of first contents that were learned from; 0 is nothing known.
    """

    prefill: float = 5_000.0
    alpha: float = 0.01
    beta: float = 0.0002
    output_tokens: float = _OUTPUT_TOKENS
    samples: int = 0

    def on_finished(self, output_tokens: int) -> None:
        """An answer had so many tokens."""
        if output_tokens:
            self.output_tokens = _KEEP * self.output_tokens + (1 - _KEEP) * output_tokens


@dataclasses.dataclass(slots=True)
class TargetSpeeds:
    """How much slower than its model's mean a worker is: 2.0 takes twice as long."""

    prefill: float = 1.0
    decode: float = 1.0
