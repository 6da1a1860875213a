"""How long to wait before a process is started again."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles with every crash, up to a most; a life long enough is forgiven."""

    first_seconds: float = 0.2
    most_seconds: float = 10.0
    forgiven_seconds: float = 30.0

    def crashes(self, before: int, *, lived: float) -> int:
        """Crashes in a row, counting the one that ended a life of `lived` seconds."""
        return 1 if lived >= self.forgiven_seconds else before + 1

    def delay(self, crashes: int) -> float:
        """Seconds to wait after that many crashes in a row."""
        # The exponent is bounded, since a float overflows after a thousand crashes.
        return min(self.most_seconds, self.first_seconds * 2.0 ** min(crashes - 1, 30))
