"""A vendor's API as its customers know it: it is elastic, costs money, limits rates, and fails at times."""

import math
from collections import OrderedDict, deque
from typing import NamedTuple

from services.router.simulator.noise import Topic, normal, uniform

_WINDOW_SECONDS = 60.0
# How long a request that fails at the vendor has taken: about a round trip and a first look.
_FAILURE_SECONDS = 0.2


class VendorModel(NamedTuple):
    """How a vendor serves one model.

    Attributes:
        first_seconds: median time to the first token; the times are lognormal.
        first_sigma: their standard deviation, of the logarithm.
        input_token_seconds: added to it for each prompt token that is not cached.
        tokens_per_second: median speed of an answer; the speeds are lognormal.
        speed_sigma: their standard deviation, of the logarithm.
        requests_per_minute: rate limit; 0 is none.
        tokens_per_minute: rate limit on prompt and answer together; 0 is none.
        concurrency: most requests at once; 0 is no limit.
        error_share: share of the requests that fail before their first token.
        cached_blocks: prompt blocks that the vendor remembers, oldest use forgotten first.
        block_tokens: tokens of such a block.
    """

    first_seconds: float = 0.6
    first_sigma: float = 0.4
    input_token_seconds: float = 2e-5
    tokens_per_second: float = 60.0
    speed_sigma: float = 0.2
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    concurrency: int = 0
    error_share: float = 0.0
    cached_blocks: int = 0
    block_tokens: int = 512


class Served(NamedTuple):
    """When a request gets its first token and its last, and how much of its prompt was cached."""

    first_at: float
    last_at: float
    hit_tokens: int


class Limited(NamedTuple):
    """A refusal for lack of room or of rate, with the seconds after which there is some."""

    retry_after: float


class Broken(NamedTuple):
    """A failure at the vendor, and when it is told."""

    at: float


class Vendor:
    """The state of a vendor towards one customer."""

    def __init__(self, model: VendorModel, name: int) -> None:
        self.model = model
        self.running = 0
        self._name = name
        self._seen: deque[tuple[float, int]] = deque()
        self._tokens = 0
        self._cache: OrderedDict[int, None] = OrderedDict()

    def submit(
        self, identity: int, input_tokens: int, output_tokens: int, blocks: tuple[int, ...], seed: int, now: float
    ) -> Served | Limited | Broken:
        """A request comes in. One that is served or broken runs until `on_end`."""
        limited = self._limited(input_tokens + output_tokens, now)
        if limited is not None:
            return limited
        self.running += 1
        self._seen.append((now, input_tokens + output_tokens))
        self._tokens += input_tokens + output_tokens
        model = self.model
        if model.error_share and uniform(seed, Topic.VENDOR_ERROR, self._name, identity) < model.error_share:
            return Broken(now + _FAILURE_SECONDS)
        hit = self._hit(blocks, input_tokens)
        median = model.first_seconds * math.exp(
            model.first_sigma * normal(seed, Topic.VENDOR_FIRST, self._name, identity)
        )
        first_at = now + median + model.input_token_seconds * (input_tokens - hit)
        speed = model.tokens_per_second * math.exp(
            model.speed_sigma * normal(seed, Topic.VENDOR_SPEED, self._name, identity)
        )
        return Served(first_at, first_at + (max(1, output_tokens) - 1) / speed, hit)

    def on_end(self) -> None:
        """A request that was served or broken is over, or nobody wants it any more."""
        self.running -= 1

    def headroom(self, now: float) -> list[tuple[str, int, int, float]]:
        """Unit, what is left, the limit, and seconds until it is whole again, for each rate limit."""
        self._forget(now)
        whole = max(0.0, self._seen[-1][0] + _WINDOW_SECONDS - now) if self._seen else 0.0
        left = []
        if self.model.requests_per_minute:
            limit = self.model.requests_per_minute
            left.append(("requests", max(0, limit - len(self._seen)), limit, whole))
        if self.model.tokens_per_minute:
            limit = self.model.tokens_per_minute
            left.append(("tokens", max(0, limit - self._tokens), limit, whole))
        return left

    def _limited(self, tokens: int, now: float) -> Limited | None:
        model = self.model
        if model.concurrency and self.running >= model.concurrency:
            return Limited(1.0)
        self._forget(now)
        if model.requests_per_minute and len(self._seen) >= model.requests_per_minute:
            return Limited(self._seen[0][0] + _WINDOW_SECONDS - now)
        if model.tokens_per_minute and self._seen and self._tokens + tokens > model.tokens_per_minute:
            return Limited(self._until_room(self._tokens + tokens - model.tokens_per_minute, now))
        return None

    def _until_room(self, tokens: int, now: float) -> float:
        """Seconds until so many tokens have left the window."""
        for at, used in self._seen:
            tokens -= used
            if tokens <= 0:
                return at + _WINDOW_SECONDS - now
        return _WINDOW_SECONDS

    def _forget(self, now: float) -> None:
        seen = self._seen
        while seen and seen[0][0] + _WINDOW_SECONDS <= now:
            self._tokens -= seen.popleft()[1]

    def _hit(self, blocks: tuple[int, ...], input_tokens: int) -> int:
        cache, model = self._cache, self.model
        if not model.cached_blocks:
            return 0
        hit, matching = 0, True
        for block in blocks:
            matching = matching and block in cache
            hit += matching
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > model.cached_blocks:
            cache.popitem(last=False)
        return min(hit * model.block_tokens, input_tokens - 1)
