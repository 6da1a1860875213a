"""How far an engine has come with loading."""

import multiprocessing


class Progress:
    """A share from 0 to 1 that only grows. In shared memory, since weights are read in a forked process.

    The phases' shares are rough; where weights are read in a process that was not forked, the bar rests there.
    """

    IMPORTED = 0.3
    CONFIGURED = 0.4
    WEIGHED = 0.8
    LOADED = 0.9

    def __init__(self) -> None:
        self._share = multiprocessing.RawValue("d", 0.0)

    @property
    def share(self) -> float:
        """How much is done."""
        return float(self._share.value)

    def reach(self, share: float) -> None:
        """That much is done."""
        self._share.value = max(self._share.value, min(share, 1.0))

    def weights(self, share: float) -> None:
        """That much of the weights is read."""
        self.reach(self.CONFIGURED + share * (self.WEIGHED - self.CONFIGURED))
