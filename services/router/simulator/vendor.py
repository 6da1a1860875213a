"""A vendor's API as its customers know it: it is elastic, costs money, limits rates, and fails at times."""

import math
from collections import OrderedDict, deque
from typing import Annotated, NamedTuple

import pydantic

from services.config.base import Section
from services.router.simulator.noise import Topic, normal, uniform

_WINDOW_SECONDS = 60.0
# How long a request that fails at the vendor has taken: about a round trip and a first look.
_FAILURE_SECONDS = 0.2


_NotNegative = Annotated[float, pydantic.Field(ge=0)]
_Limit = Annotated[int, pydantic.Field(ge=0)]


class VendorModel(Section):
    """How a vendor serves one model."""

    first_seconds: float = pydantic.Field(default=0.6, gt=0, description="Median to the first token; lognormal.")
    first_sigma: _NotNegative = pydantic.Field(default=0.4, description="Standard deviation of its logarithm.")
    input_token_seconds: _NotNegative = pydantic.Field(default=2e-5, description="For each uncached prompt token.")
    tokens_per_second: float = pydantic.Field(default=60.0, gt=0, description="Median of an answer; lognormal.")
    speed_sigma: _NotNegative = pydantic.Field(default=0.2, description="Standard deviation of its logarithm.")
    requests_per_minute: _Limit = pydantic.Field(default=0, description="Rate limit; 0 is none.")
    tokens_per_minute: _Limit = pydantic.Field(default=0, description="On prompts and answers together; 0 is none.")
    concurrency: _Limit = pydantic.Field(default=0, description="Most requests at once; 0 is no limit.")
    error_share: float = pydantic.Field(default=0.0, ge=0, le=1, description="Requests that fail before any token.")
    cached_blocks: _Limit = pydantic.Field(default=0, description="Prompt blocks remembered, oldest use goes first.")
    block_tokens: int = pydantic.Field(default=512, ge=1, description="Tokens of such a block.")


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
