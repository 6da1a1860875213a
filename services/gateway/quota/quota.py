"""Reserves what requests may take of their keys' limits."""

import asyncio
import functools
import time
from collections.abc import Callable

import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.database import DatabaseAway
from services.gateway.identity.grant import Grant, Limits
from services.gateway.quota import refusal
from services.gateway.quota.account import Account
from services.gateway.quota.held import Held, meter
from services.gateway.quota.lender import Lender
from services.gateway.quota.quota_metrics import QuotaMetrics
from services.gateway.quota.reservation import UNLIMITED, Need, Reservation
from services.gateway.quota.waiting import Parts, Waiter, reserve
from services.gateway.quota.window import BUDGETS, Measure

LOG = structlog.get_logger()

_NONE = Limits()


class Quota:
    """The limits of all keys, as this gateway has leased them.

    A request that fits what is leased is let in without asking anybody. Those that do not fit wait for the database,
    all of one key together.
    """

    def __init__(
        self,
        leases: Lender,
        metrics: QuotaMetrics,
        tasks: asyncio.TaskGroup,
        *,
        gateways: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`gateways` share the limits of a minute and of slots in equal parts while the database is away."""
        self._leases = leases
        self._metrics = metrics
        self._tasks = tasks
        self._gateways = gateways
        self._now = now
        self._accounts: dict[str, Account] = {}
        self._away = False
        for measure in BUDGETS:
            metrics.nearly_spent.labels(measure).set_function(functools.partial(self._nearly_spent, measure))

    @property
    def accounts(self) -> dict[str, Account]:
        """What is known of keys with limits, by their id."""
        return self._accounts

    def restless(self) -> list[Account]:
        """Keys for which there may be something to do: most of many have long been settled, and wait for their day."""
        now = self._now()
        return [account for account in self._accounts.values() if account.rests_until <= now]

    @property
    def away(self) -> bool:
        """Whether the database did not answer when it was last asked."""
        return self._away

    def reconfigure(self, *, gateways: int) -> None:
        """So many share the limits from now on."""
        self._gateways = gateways
        if self._away:
            self._go_alone()

    async def reserve(
        self, grant: Grant, need: Need, *, at: float | None = None, until: float | None = None
    ) -> Reservation:
        """Set aside what a request may take.

        Args:
            grant: the key it is made with.
            need: the most that it may take.
            at: when it was received, seconds since 1970: in the periods of that time it counts. Default: now.
            until: when the caller's time is up, on the event loop's clock.

        Raises:
            Failure: RATE_LIMITED, with when to come back; QUOTA_EXHAUSTED, where a budget is used up and trying
                again is in vain; ACCOUNTING_UNAVAILABLE, where more would have to be leased and the database is away;
                DEADLINE_EXCEEDED.
        """
        if grant.limits == _NONE:
            return UNLIMITED
        account = self._accounts.get(grant.key_id)
        if account is None:
            account = self._accounts[grant.key_id] = Account(grant.key_id)
        account.rests_until = 0.0
        account.used_at = now = self._now()
        parts = account.parts(grant.limits, need, now if at is None else at)

        async def extend(more: Parts) -> None:
            await self._reserve(account, more, until)

        await self._reserve(account, parts, until)
        return Held(parts, extend)

    async def renew(self, account: Account) -> None:
        """Ask for what those need who wait, and for what is running low."""
        async with account.lock:
            try:
                await self._ask(account)
                while account.waiting:
                    await self._ask(account)
            finally:
                account.renewing = None

    async def give_back(self, account: Account, *, everything: bool = False) -> None:
        """Give back what the key does not use here; later, where its limits are being asked: nobody waits for that.

        Args:
            account: the key's.
            everything: nothing more will be reserved.

        Raises:
            DatabaseAway: nobody heard.
        """
        if account.lock.locked() and not everything:
            return
        if everything and account.renewing is not None:
            await asyncio.wait((account.renewing,))
        async with account.lock:
            wishes = account.returned(self._now(), everything=everything)
            if wishes:
                try:
                    account.take(await self._leases.lease(account.key_id, wishes))
                except BaseException:
                    account.unheard()
                    raise
                self._metrics.leases.labels("returned").inc()
            account.forget_ended()
        account.rest(self._now())

    def forget(self) -> None:
        """Let go of keys of which nothing matters any more."""
        now = self._now()
        for account in [each for each in self.restless() if each.forgettable(now)]:
            del self._accounts[account.key_id]

    def is_away(self) -> None:
        """The database did not answer: from now on nobody waits for it."""
        if not self._away:
            self._away = True
            LOG.warning("quota.away", keys=len(self._accounts))
            self._go_alone()

    def is_back(self) -> None:
        """It answers again."""
        if self._away:
            self._away = False
            LOG.info("quota.back", keys=len(self._accounts))
            for account in self._accounts.values():
                account.rejoin()

    def _nearly_spent(self, measure: Measure) -> int:
        now = self._now()
        accounts = tuple(self._accounts.values())  # in one step: whoever scrapes asks in a thread of its own
        return sum(account.nearly_spent(measure, now) for account in accounts)

    def _go_alone(self) -> None:
        for account in self._accounts.values():
            account.go_alone(self._gateways)

    async def _reserve(self, account: Account, parts: Parts, until: float | None) -> None:
        if reserve(parts):
            if not self._away and account.renewing is None and any(allowance.low for allowance, _ in parts):
                account.renewing = self._tasks.create_task(self.renew(account))
            return
        if self._away:
            for allowance, _ in parts:
                allowance.go_alone(self._gateways)
            if not reserve(parts):
                raise self._refused(parts)
            return
        now = self._now()
        if any(allowance.hopeless(amount, now) for allowance, amount in parts):
            raise self._refused(parts)
        waiter = Waiter(parts, asyncio.get_running_loop().create_future())
        account.waiting.append(waiter)
        if account.renewing is None:
            account.renewing = self._tasks.create_task(self.renew(account))
        got = False
        try:
            async with asyncio.timeout_at(until):
                got = await waiter.answer
        except TimeoutError as error:
            message = "The deadline passed while the key's limits were asked."
            raise Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, message, stage="total") from error
        finally:
            if not got:
                if waiter in account.waiting:
                    account.waiting.remove(waiter)
                waiter.leave()

    async def _ask(self, account: Account) -> None:
        """One question for all who wait, and their answers."""
        if self._away:  # it fell silent while they waited for an earlier question
            self._answer(account, list(account.waiting), last=True)
            await asyncio.sleep(0)  # who has left takes itself off the list
            return
        asked = list(account.waiting)
        wishes = account.wishes()
        if not wishes:
            return
        try:
            leases = await self._leases.lease(account.key_id, wishes)
        except DatabaseAway:
            account.unheard()
            self._metrics.leases.labels("away").inc()
            self.is_away()
            account.go_alone(self._gateways)
            self._answer(account, list(account.waiting), last=True)
        except BaseException:
            account.unheard()
            raise
        else:
            self._metrics.leases.labels("leased").inc()
            if leases:
                account.take(leases)
            else:
                account.gone()
            self._answer(account, asked, last=False)

    def _answer(self, account: Account, asked: list[Waiter], *, last: bool) -> None:
        """Reserve for those who asked, in the order in which they came; refuse those for whom there cannot be room.

        Others may have used what was leased meanwhile: who would still find room is asked for again, unless `last`.
        """
        now = self._now()
        for waiter in asked:
            if waiter.answer.done():  # it has left
                continue
            if reserve(waiter.parts):
                waiter.answer.set_result(True)
            else:
                short = [(allowance, amount) for allowance, amount in waiter.parts if amount > allowance.left]
                if not short and not last:
                    continue
                for allowance, amount in short:
                    allowance.refuse(amount, now)
                waiter.answer.set_exception(self._refused(waiter.parts))
            account.waiting.remove(waiter)

    def _refused(self, parts: Parts) -> Failure:
        """Why a request is refused: by the first limit that has no room, and those of money come first."""
        now = self._now()
        full = [(allowance, amount) for allowance, amount in parts if not allowance.fits(amount)]
        allowance, amount = next((part for part in full if part[1] > part[0].left), full[0])
        # What others had when they were last heard of may have been given back: alone only one's own spending is sure.
        if self._away and allowance.money and amount <= allowance.limit - allowance.spent:
            self._metrics.refusals.labels("database").inc()
            why = refusal.away()
        else:
            self._metrics.refusals.labels(allowance.measure).inc()
            why = refusal.refusal(allowance, amount, now)
        return refusal.Limited(why, meter(parts, "requests"), meter(parts, "tokens"))
