"""Made-up traffic: conversations that grow, prefixes that many share, bursts, and answers of very different lengths."""

import heapq
import math
import random
from collections.abc import Iterator

from services.router.simulator.noise import Topic, mix
from services.router.simulator.scenario import Generated
from services.router.simulator.traffic.request import Request


class _Conversation:
    """A conversation that may go on: its id, the prefix it began with, and its length so far."""

    __slots__ = ("identity", "prefix", "tokens")

    def __init__(self, identity: int, prefix: int, tokens: int) -> None:
        self.identity = identity
        self.prefix = prefix
        self.tokens = tokens


def generate(settings: Generated, seed: int) -> Iterator[Request]:
    """The settings' number of requests; the same ones for the same seed.

    The time between two is Gamma distributed with the given mean and coefficient of variation. Each either continues
    the conversation that has been ready longest or begins a new one, whose prefix is chosen by Zipf's law.
    """
    rng = random.Random(mix(seed, Topic.GENERATOR))
    shape = 1 / settings.burstiness**2
    scale = 1 / (settings.requests_per_second * shape)
    ranks = [1 / rank**settings.zipf_exponent for rank in range(1, settings.prefixes + 1)]
    prefixes = range(settings.prefixes)
    ready: list[tuple[float, int, _Conversation]] = []
    now = 0.0
    for number in range(1, settings.requests + 1):
        now += rng.gammavariate(shape, scale)
        # Every draw is made whether it is needed or not, so that one choice does not shift all that follow.
        goes_on, prefix = rng.random() < settings.continue_share, rng.choices(prefixes, ranks)[0]
        words = _length(rng, settings.turn_tokens, settings.turn_sigma)
        output = _length(rng, settings.output_tokens, settings.output_sigma)
        pause = rng.expovariate(1 / settings.think_seconds)
        if goes_on and ready and ready[0][0] <= now:
            conversation = heapq.heappop(ready)[2]
        else:
            conversation = _Conversation(number, prefix, settings.prefix_tokens)
        conversation.tokens += words
        if conversation.tokens + output > settings.context_tokens:
            conversation = _Conversation(number, prefix, min(settings.prefix_tokens + words, settings.context_tokens))
        yield Request(number, now, conversation.tokens, output, _blocks(conversation, settings), conversation.identity)
        conversation.tokens += output
        heapq.heappush(ready, (now + pause, number, conversation))


def _length(rng: random.Random, median: float, sigma: float) -> int:
    return max(1, round(median * math.exp(sigma * rng.gauss(0.0, 1.0))))


def _blocks(conversation: _Conversation, settings: Generated) -> tuple[int, ...]:
    shared = min(settings.prefix_tokens, conversation.tokens) // settings.block_tokens
    whole = conversation.tokens // settings.block_tokens
    return tuple(
        mix(Topic.BLOCK, 1, conversation.prefix, place)
        if place < shared
        else mix(Topic.BLOCK, 2, conversation.identity, place)
        for place in range(whole)
    )
