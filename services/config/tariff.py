"""What tokens and time cost, and what so many of them come to: the one place where that is worked out. Pure.

Prices are whole pico-USD for a token or a second, times are whole microseconds, and sums are exact integers. What is
charged is nano-USD, rounded up once, at the end.
"""

import dataclasses

# A second's price is for a million microseconds, and a nano-USD is a thousand pico-USD.
_MICROSECONDS = 10**6
_PICO_IN_NANO = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Tier:
    """What tokens cost where the prompt has more than so many, in pico-USD for one.

    Attributes:
        above_input_tokens: the prompt has more tokens than that; 0 is of any prompt.
        input: of the prompt.
        cached_input: of the prompt, where it was in the provider's cache.
        output: of the answer, reasoning included.
    """

    above_input_tokens: int
    input: int
    cached_input: int
    output: int


@dataclasses.dataclass(frozen=True, slots=True)
class Tariff:
    """What a provider's model costs.

    Attributes:
        tiers: by the length of the prompt, the shortest first; the whole request is charged by one of them.
        second: what a second of an attempt costs, in pico-USD.
        source: where it comes from, in a few words.
    """

    tiers: tuple[Tier, ...]
    second: int = 0
    source: str = ""

    def tier(self, input_tokens: int) -> Tier:
        """What the tokens of a request with such a prompt cost."""
        tiers = self.tiers
        if len(tiers) > 1:
            for tier in reversed(tiers):
                if input_tokens > tier.above_input_tokens:
                    return tier
        return tiers[0]

    @property
    def free(self) -> bool:
        """Whether nothing of it costs anything."""
        return not self.second and not any(tier.input or tier.cached_input or tier.output for tier in self.tiers)

    def nano_usd(self, input_tokens: int, cached_tokens: int, output_tokens: int, microseconds: int) -> int:
        """What so many tokens and so much time cost, in nano-USD, rounded up.

        Args:
            input_tokens: of the prompt, cached ones included.
            cached_tokens: those of the prompt that were in the provider's cache; never counted as more than the prompt.
            output_tokens: of the answer.
            microseconds: from the start of the attempt to its end.
        """
        tier = self.tier(input_tokens)
        cached = min(cached_tokens, input_tokens)
        tokens = (input_tokens - cached) * tier.input + cached * tier.cached_input + output_tokens * tier.output
        return _rounded_up(tokens, self.second * microseconds)

    def most_nano_usd(self, input_tokens: int, output_tokens: int, microseconds: int) -> int:
        """The most that up to so many tokens and so much time may cost, in nano-USD, however much is cached."""
        tier = self.tier(input_tokens)
        tokens = input_tokens * max(tier.input, tier.cached_input) + output_tokens * tier.output
        return _rounded_up(tokens, self.second * microseconds)

    def expected_nano_usd(self, input_tokens: int, cached_tokens: int, output_tokens: float, seconds: float) -> float:
        """The same as `nano_usd` for an answer and a time that are only expected, and not rounded."""
        tiers = self.tiers  # asked of every target for every request: mostly there is one
        tier = tiers[0] if len(tiers) == 1 else self.tier(input_tokens)
        tokens = (input_tokens - cached_tokens) * tier.input + cached_tokens * tier.cached_input
        return (tokens + output_tokens * tier.output + seconds * self.second) / _PICO_IN_NANO


def micros(seconds: float) -> int:
    """A time in whole microseconds, which is as fine as the ledger keeps times; none is negative."""
    return max(0, round(seconds * _MICROSECONDS))


def as_usd(nano_usd: int) -> str:
    """An amount as an exact decimal number of USD, such as `0.000001234`."""
    whole, rest = divmod(nano_usd, 10**9)
    return f"{whole}.{rest:09d}"


def _rounded_up(pico_usd: int, of_microseconds: int) -> int:
    """Whole nano-USD of pico-USD, and of a million times as many that are counted by the microsecond."""
    return -(-(pico_usd * _MICROSECONDS + of_microseconds) // (_PICO_IN_NANO * _MICROSECONDS))
