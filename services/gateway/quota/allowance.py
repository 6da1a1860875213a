"""What one limit lets this gateway use of a key's period, and what of it is in use. Pure."""

import dataclasses
import datetime
from typing import NamedTuple

from services.gateway.quota.window import BUDGETS, Measure, Period, moment

# Beside what a request needs a gateway takes a part of what is left, so that the next ones need not ask:
# a twentieth, and of money one dollar at most (nano-USD). infrastructure/postgres/migrations has the same twentieth.
_SHARE = 20
_MOST_SPARE = {"usd_day": 10**9, "usd_month": 10**9}
_ANY = 1 << 61
# So long what the database has just refused is not asked again.
_HOPELESS_SECONDS = 0.5


class Wish(NamedTuple):
    """What is asked of the database for one limit; amounts are all that this gateway would then have.

    Attributes:
        limit: as this gateway knows it.
        held: it has so much in any case.
        enough: less would not help.
        goal: what is wanted.
        spare: most that it is given beside that.
    """

    measure: Measure
    start: datetime.datetime
    limit: int
    held: int
    enough: int
    goal: int
    spare: int


class Lease(NamedTuple):
    """What the database answers.

    Attributes:
        most: the limit.
        others: what other gateways have of it.
        amount: what this one has.
    """

    most: int
    others: int
    amount: int


@dataclasses.dataclass(slots=True)
class Allowance:
    """One limit of one key in one period.

    Attributes:
        limit: the key's, for all gateways together.
        granted: what this gateway may use of it; the sum over gateways is at most the limit.
        spent: what ended requests took.
        reserved: what those under way may take.
        holders: how many are under way that have a part in it, be that nothing: one may come to take more.
        others: what other gateways had, when it was last asked.
        alone: what may be used though it is not granted, while nobody can be asked.
        told: the limit as the key's holder was last known to have it; the database may know better.
        stated: what the database is known to have written of `granted`; -1 where nobody heard.
        refused: least amount for which the database had no room, until `refused_until`.
    """

    measure: Measure
    period: Period
    limit: int
    granted: int = 0
    spent: int = 0
    reserved: int = 0
    holders: int = 0
    others: int = 0
    alone: int = 0
    told: int = -1
    stated: int = 0
    refused: int = 0
    refused_until: float = 0.0

    @property
    def used(self) -> int:
        """What is spent, or may be by requests under way. More than granted where one took more than was reserved."""
        return self.spent + self.reserved

    @property
    def free(self) -> int:
        """What can be reserved without asking; below 0 where something has to be made up for first."""
        return min(max(self.granted, self.alone), self.limit) - self.used

    @property
    def left(self) -> int:
        """What is left of the limit, as far as is known here; below 0 where it is overspent."""
        return self.limit - self.others - self.used

    @property
    def nearly_spent(self) -> bool:
        """Whether less than a tenth of the limit is left."""
        return self.left * 10 <= self.limit

    @property
    def spare(self) -> int:
        """How much is taken beside what is needed."""
        return max(0, min(self.left // _SHARE, _MOST_SPARE.get(self.measure, _ANY)))

    @property
    def low(self) -> bool:
        """Whether it is time to take more, ahead of need."""
        return self.free < self.spare // 2

    @property
    def money(self) -> bool:
        """Whether it is a budget."""
        return self.measure in BUDGETS

    @property
    def settled(self) -> bool:
        """Whether the database has exactly what was spent, and nothing is under way."""
        return not (self.reserved or self.holders) and self.stated == self.granted == self.spent

    def tell(self, limit: int) -> None:
        """This is the key's limit as a request came with it."""
        if limit != self.told:
            self.limit = self.told = limit
            self.refused_until = 0.0

    def fits(self, amount: int) -> bool:
        """Whether so much can be reserved without asking. Nothing always can: what is free is not overspent.

        A gateway alone has a part of the limit, that may be less than one large request: it is let in as the first.
        """
        return amount <= max(0, self.free) or (self.alone > 0 and self.measure == "tokens" and not self.used)

    def reserve(self, amount: int) -> None:
        """Set aside what a request may take."""
        self.reserved += amount

    def shrink(self, by: int) -> None:
        """A request under way may take so much less."""
        self.reserved -= by

    def settle(self, reserved: int, spent: int) -> None:
        """A request for which so much was reserved has ended, and took that: less, or more."""
        self.reserved -= reserved
        self.spent += spent

    def hopeless(self, amount: int, now: float) -> bool:
        """Whether as much was refused just now."""
        return now < self.refused_until and amount >= self.refused and amount > self.left

    def refuse(self, amount: int, now: float) -> None:
        """The database has no room for so much."""
        if now >= self.refused_until or amount < self.refused:
            self.refused = amount
        self.refused_until = now + _HOPELESS_SECONDS

    def wish(self, least: int, wanted: int) -> Wish:
        """Ask for room for so much: `least` is the smallest request that waits, `wanted` all of them."""
        held = max(self.granted, self.used)
        spare = _MOST_SPARE.get(self.measure, _ANY)
        return self._wish(held, self.used + least, max(held, self.used + wanted), spare)

    def returned(self, keep: int) -> Wish:
        """Give back what is not in use, but for `keep`. From here on it counts as given back, whatever is heard."""
        self.granted = min(self.granted, max(0, self.used + keep))
        held = max(self.granted, self.used)
        return self._wish(held, held, held, 0)

    def take(self, lease: Lease) -> None:
        """The database has answered."""
        self.limit, self.others = lease.most, lease.others
        self.granted = self.stated = lease.amount
        self.alone = 0

    def go_alone(self, gateways: int) -> None:
        """Nobody can be asked: use this gateway's equal part, of anything but money."""
        if not self.money:
            self.alone = max(1, self.limit // gateways) if self.limit else 0

    def _wish(self, held: int, enough: int, goal: int, spare: int) -> Wish:
        limit = self.limit if self.told < 0 else self.told
        limit, held, enough, goal = (min(amount, _ANY) for amount in (limit, held, enough, goal))
        return Wish(self.measure, moment(self.period.start), limit, held, enough, goal, spare)
