"""Requests of the ledger as a trace for the simulator: JSON lines of Mooncake, with blocks of 512 tokens. Pure."""

import json
import statistics
from collections.abc import Iterator, Sequence

from services.cli.replay.past import Asked

# Gateways hash blocks of 64 tokens, each with all before it: the last of eight stands for all of them.
_HASHES_PER_BLOCK = 8
# Between two requests nothing happens that a longer wait would change, and simulated workers report all the while.
LONGEST_GAP_SECONDS = 60.0
_ANSWER_TOKENS = 300


def lines(requests: Sequence[Asked], model: str) -> Iterator[str]:
    """A line for each request, which are in order of time. Names of blocks are numbers that mean nothing elsewhere."""
    numbers: dict[int, int] = {}
    usual, now = usual_answer(requests), 0.0
    for index, one in enumerate(requests):
        if index:
            now += min(LONGEST_GAP_SECONDS, max(0.0, one.at - requests[index - 1].at))
        blocks = [
            numbers.setdefault(name, len(numbers))
            for name in one.prefix_hashes[_HASHES_PER_BLOCK - 1 :: _HASHES_PER_BLOCK]
        ]
        row = {
            "timestamp": round(now * 1e3),
            "input_length": one.input_tokens,
            "output_length": usual if one.output_tokens is None else one.output_tokens,
            "hash_ids": blocks,
            "model": model,
        }
        yield json.dumps(row, separators=(",", ":")) + "\n"


def usual_answer(requests: Sequence[Asked]) -> int:
    """Tokens that an answer is taken to have had which did not come: the median of those that did."""
    whole = [one.output_tokens for one in requests if one.output_tokens is not None]
    return round(statistics.median(whole)) if whole else _ANSWER_TOKENS
