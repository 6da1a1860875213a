"""What is counted of limits."""

from typing import get_args

from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.gateway.quota.window import BUDGETS, Measure

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2)


REFUSALS = declared.Counter(
    "hybrid_quota_refusals_total",
    "Requests refused, by the limit; `database`: of a budget, while the database was away.",
    [declared.one_of("limit", (*get_args(Measure), "database"))],
)
LEASES = declared.Counter(
    "hybrid_quota_leases_total",
    "Questions to the database: `leased`, `returned`, or `away` where it did not answer.",
    [declared.one_of("outcome", ("leased", "returned", "away"))],
)
SECONDS = declared.Histogram("hybrid_quota_lease_seconds", "Time until the database had answered.", buckets=_SECONDS)
NEARLY_SPENT = declared.Gauge(
    "hybrid_quota_budgets_nearly_spent",
    "Keys of whose budget for this day, or month, nine tenths are used, as far as this gateway knows.",
    [declared.one_of("limit", BUDGETS)],
)


class QuotaMetrics:
    """The metrics of limits. Never a key's id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.refusals = REFUSALS.on(registry)
        self.leases = LEASES.on(registry)
        self.seconds = SECONDS.on(registry)
        self.nearly_spent = NEARLY_SPENT.on(registry)
