"""How fast a model is served: what a request is expected to take, learned from what others took."""

import math
from collections import OrderedDict

from services.router.knowledge.line import Line

# Weight of what was known before, for each new observation.
_KEEP_READING = 0.995
_KEEP_WRITING = 0.998
_KEEP_ELASTIC = 0.98
_KEEP_LENGTH = 0.995
# An answer's expected length before any was seen, and how many answers that belief is worth.
_OUTPUT_TOKENS = 300.0
_LENGTH_PRIOR = 10.0
# Callers whose answers are remembered apart.
_KEYS = 1024
# Slowness: what each unit of evidence leaves of the evidence before it, what being ordinary is worth in such units,
# what is too small to tell from noise, and what is too large to be believed.
_KEEP_LONG, _KEEP_SHORT = 0.97, 0.75
_KAPPA = 2.0
_CHANGED = 1.8
_DEAD_ZONE = 1.1
_CLIP = (0.22, 12.0)
_FAR = 20.0  # what a single look may say
# Until so many first contents were seen, all workers of a model are taken for equal.
_COLD_SAMPLES = 20
# A worker that nobody looks at is ordinary again after some minutes, so that it is looked at.
_FORGET_SECONDS = 300.0


class Lengths:
    """How long answers are: of all callers, and of each that has had some."""

    __slots__ = ("_keys", "_mean", "_seen")

    def __init__(self) -> None:
        self._mean, self._seen = _OUTPUT_TOKENS, 0.0
        self._keys: OrderedDict[str, tuple[float, float]] = OrderedDict()  # sum and number, decayed

    def expected(self, key: str = "") -> float:
        """Mean length of that caller's answers in tokens; of everyone's as far as it has had too few to tell."""
        total, seen = self._keys.get(key, (0.0, 0.0))
        return (_LENGTH_PRIOR * self._mean + total) / (_LENGTH_PRIOR + seen)

    def observe(self, tokens: int, key: str = "") -> None:
        """An answer of that caller had so many tokens."""
        self._seen = _KEEP_LENGTH * self._seen + 1.0
        self._mean += (tokens - self._mean) / (self._seen + _LENGTH_PRIOR)
        total, seen = self._keys.pop(key, (0.0, 0.0))
        self._keys[key] = (_KEEP_LENGTH * total + tokens, _KEEP_LENGTH * seen + 1.0)
        if len(self._keys) > _KEYS:
            self._keys.popitem(last=False)


class PoolSpeeds:
    """What holds for all engines of a model. Each worker's own slowness multiplies it.

    Attributes:
        reading: seconds to the first content, without the first step of the answer, over prompt tokens to be read.
        writing: seconds for a token of an answer, over generations running beside it.
        lengths: how long answers are.
    """

    __slots__ = ("lengths", "reading", "writing")

    def __init__(self) -> None:
        # About an 8B model on a large GPU: 20,000 tokens read in a second after 10 ms; 7 ms for a token of an answer,
        # and 0.04 ms for each generation beside it.
        self.reading = Line(base=0.01, slope=5e-5, least=1e-6, most=1.0, ridge=1e3, keep=_KEEP_READING)
        self.writing = Line(base=0.007, slope=4e-5, least=2e-6, most=2e-3, ridge=100.0, keep=_KEEP_WRITING)
        self.lengths = Lengths()

    @property
    def samples(self) -> int:
        """Number of first contents that were learned from; 0 is nothing known."""
        return self.reading.samples

    @property
    def settled(self) -> bool:
        """Whether enough was seen of the model to tell one worker from another."""
        return self.reading.samples > _COLD_SAMPLES

    @property
    def output_tokens(self) -> float:
        """Mean length of an answer."""
        return self.lengths.expected()


class Slowness:
    """How many times longer than expected a worker takes, from noisy looks at it.

    A shrunk, decayed mean of observed / expected. Of two such means the one with the long memory counts, since it is
    less noisy, until the one with the short memory contradicts it: then something has changed, and what was before is
    forgotten.
    """

    __slots__ = ("_at", "_long", "_short", "factor")

    def __init__(self) -> None:
        self.factor = 1.0
        self._long, self._short = _Mean(_KEEP_LONG), _Mean(_KEEP_SHORT)
        self._at = 0.0

    def observe(self, observed: float, expected: float, weight: float, now: float) -> None:
        """It took `observed` where `expected` was expected; `weight`, up to 1, is how much that says."""
        if observed <= 0.0 or expected <= 0.0 or weight <= 0.0:
            return
        ratio = min(observed / expected, _FAR)
        faded = math.exp(min(0.0, self._at - now) / _FORGET_SECONDS)
        self._at = now
        for mean in (self._long, self._short):
            mean.add(ratio, weight, faded)
        brief = self._short.value
        if not 1 / _CHANGED < brief / self._long.value < _CHANGED:
            self._long.take(self._short)
        factor = self._long.value
        low, high = _CLIP
        self.factor = 1.0 if 1 / _DEAD_ZONE < factor < _DEAD_ZONE else min(max(factor, low), high)


class _Mean:
    """A mean that is drawn to 1 and forgets."""

    __slots__ = ("_keep", "evidence", "total")

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self.total = self.evidence = 0.0

    @property
    def value(self) -> float:
        """The mean, 1 counting as evidence too."""
        return (self.total + _KAPPA) / (self.evidence + _KAPPA)

    def add(self, ratio: float, weight: float, faded: float) -> None:
        """One more; `faded` is what time has left of those before."""
        keep = self._keep**weight * faded
        self.total = keep * self.total + weight * ratio
        self.evidence = keep * self.evidence + weight

    def take(self, other: "_Mean") -> None:
        """Know what the other one knows."""
        self.total, self.evidence = other.total, other.evidence


class TargetSpeeds:
    """How fast one target is.

    Attributes:
        prefill: how many times slower than its model's mean it reads.
        decode: the same of writing.
        first: of an elastic target: seconds to the first content, over generations running beside it.
        writing: of an elastic target: seconds for a token.
        penalty_seconds: what a recent failure adds to the time that is expected of it, at `penalised_at`.
    """

    __slots__ = ("_decode", "_prefill", "decode", "first", "penalised_at", "penalty_seconds", "prefill", "writing")

    def __init__(self) -> None:
        self._prefill, self._decode = Slowness(), Slowness()
        self.prefill = self.decode = 1.0
        # About what vendors promise; the first answers say more.
        self.first = Line(base=0.6, slope=0.0, least=0.0, most=1.0, ridge=1e3, keep=_KEEP_ELASTIC)
        self.writing = Line(base=0.015, slope=0.0, least=0.0, most=0.1, ridge=1e3, keep=_KEEP_ELASTIC)
        self.penalty_seconds = 0.0
        self.penalised_at = 0.0

    @property
    def samples(self) -> int:
        """Number of first contents that were learned from, of an elastic target."""
        return self.first.samples

    def on_read(self, observed: float, expected: float, tokens: int, now: float) -> None:
        """An engine's first content came after `observed` seconds; so many tokens were to be read."""
        self._prefill.observe(observed, expected, min(1.0, max(_LEAST_WEIGHT, tokens / 8000)), now)
        self.prefill = self._prefill.factor

    def on_written(self, observed: float, expected: float, tokens: int, now: float) -> None:
        """A token of an engine's answer took `observed` seconds; the answer had so many tokens."""
        self._decode.observe(observed, expected, min(1.0, max(_LEAST_WEIGHT, tokens / 200)), now)
        self.decode = self._decode.factor

    def penalise(self, seconds: float, now: float) -> None:
        """It failed, or is at its limit."""
        self.penalty_seconds, self.penalised_at = max(seconds, self.penalty(now)), now

    def penalty(self, now: float) -> float:
        """What failures add to the time expected of it: nine tenths are gone after 23 s."""
        if not self.penalty_seconds:
            return 0.0
        return self.penalty_seconds * math.exp((self.penalised_at - now) / _PENALTY_DECAY_SECONDS)


# Short prompts and answers say little about speed, since other things take time too; but where there are no long ones
# they have to do.
_LEAST_WEIGHT = 0.2
_PENALTY_DECAY_SECONDS = 10.0
