"""Made-up traffic: conversations that grow, prefixes that many share, bursts, and answers of very different lengths."""

import heapq
import math
import random
from collections.abc import Iterator

from services.router.simulator.noise import Topic, mix
from services.router.simulator.sections import Generated
from services.router.simulator.traffic.request import Request


class _Conversation:
    """A conversation that may go on: its length so far, and its whole blocks, `shared` of them the prefix's."""

    __slots__ = ("blocks", "identity", "prefix", "shared", "tokens")

    def __init__(self, identity: int, prefix: int, tokens: int, shared: int) -> None:
        self.identity = identity
        self.prefix = prefix
        self.tokens = tokens
        self.shared = shared
        self.blocks: tuple[int, ...] = ()

    def grow(self, tokens: int, block_tokens: int) -> None:
        """So many tokens more."""
        self.tokens += tokens
        places = range(len(self.blocks), self.tokens // block_tokens)
        self.blocks += tuple(
            mix(Topic.BLOCK, 1, self.prefix, place)
            if place < self.shared
            else mix(Topic.BLOCK, 2, self.identity, place)
            for place in places
        )


def generate(settings: Generated, seed: int) -> Iterator[Request]:
    """The settings' number of requests; the same ones for the same seed.

    The time between two is Gamma distributed with the given mean and coefficient of variation. Each either continues
    the conversation that has been ready longest or begins a new one, whose prefix is chosen by Zipf's law.
    """
    rng = random.Random(mix(seed, Topic.GENERATOR))
    shape = 1 / settings.burstiness**2
    scale = 1 / (settings.requests_per_second * shape)
    ranks = [1 / rank**settings.zipf_exponent for rank in range(1, settings.prefixes + 1)]
    prefixes, shared = range(settings.prefixes), settings.prefix_tokens // settings.block_tokens
    ready: list[tuple[float, int, _Conversation]] = []
    now = 0.0
    for number in range(1, settings.requests + 1):
        now += rng.gammavariate(shape, scale)
        # Every draw is made whether it is needed or not, so that one choice does not shift all that follow.
        goes_on, prefix = rng.random() < settings.continue_share, rng.choices(prefixes, ranks)[0]
        words = _length(rng, settings.turn_tokens, settings.turn_sigma)
        output = _length(rng, settings.output_tokens, settings.output_sigma)
        pause = rng.expovariate(1 / settings.think_seconds)
        conversation = heapq.heappop(ready)[2] if goes_on and ready and ready[0][0] <= now else None
        if conversation is None or conversation.tokens + words + output > settings.context_tokens:
            conversation = _Conversation(number, prefix, settings.prefix_tokens, shared)
        room = settings.context_tokens - output - conversation.tokens
        conversation.grow(max(1, min(words, room)), settings.block_tokens)
        yield Request(number, now, conversation.tokens, output, conversation.blocks, conversation.identity)
        conversation.grow(output, settings.block_tokens)
        heapq.heappush(ready, (now + pause, number, conversation))


def _length(rng: random.Random, median: float, sigma: float) -> int:
    return max(1, round(median * math.exp(sigma * rng.gauss(0.0, 1.0))))
