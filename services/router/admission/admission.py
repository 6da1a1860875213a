"""What admission knows of one model: who waits, what each key has had, how fast places are given back."""

from services.config.model import Queue as Settings
from services.router.admission.fairness import Accounts
from services.router.admission.pace import Pace
from services.router.admission.queue import Queue

NEVER = float("inf")
# How many are let go at first to a worker without a known limit, once its hold has ended; then twice as many each time.
FIRST_PORTION = 4


class Admission:
    """The state of one model's admission.

    Attributes:
        settings: the model's.
        accounts: what each key has had.
        queue: who waits.
        pace: how long places are taken.
        wakes_at: when time alone may let somebody go on, or end a wait.
        rests_until: nobody is let go before: those that were are to show first whether there is room indeed.
        portion: how many are let go at once where no limit is known.
    """

    __slots__ = ("accounts", "pace", "portion", "queue", "rests_until", "settings", "wakes_at")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts = Accounts()
        self.pace = Pace()
        self.queue = Queue(self.accounts)
        self.wakes_at = NEVER
        self.rests_until = 0.0
        self.portion = FIRST_PORTION

    def inherit(self, before: "Admission") -> None:
        """Take over what an earlier configuration of the model has learned. Those that wait move by themselves."""
        self.accounts.inherit(before.accounts)
        self.pace = before.pace

    def settle(
        self, key: str, weight: float, *, charged: float, read: float | None, written: float, seconds: float | None
    ) -> None:
        """An attempt has ended.

        Args:
            key: whose it was.
            weight: the key's share.
            charged: what it was charged when it was placed.
            read: tokens of the prompt that were read; None: as many as were charged.
            written: tokens of the answer.
            seconds: how long it took, if it went well.
        """
        if read is None:
            fallen = self.accounts.settle(key, weight, charged=0.0, read=0.0, written=written)
        else:
            fallen = self.accounts.settle(key, weight, charged=charged, read=read, written=written)
        if fallen:
            self.queue.on_refund(key)
        if seconds is not None:
            self.pace.on_ended(seconds)
