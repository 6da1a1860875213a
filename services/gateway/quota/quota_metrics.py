"""What is counted of limits."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2)


class QuotaMetrics:
    """The metrics of limits. Never a key's id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.refusals = Counter(
            "hybrid_quota_refusals_total",
            "Requests refused, by the limit; `database`: of a budget, while the database was away.",
            ("limit",),
            registry=registry,
        )
        self.leases = Counter(
            "hybrid_quota_leases_total",
            "Questions to the database: `leased`, `returned`, or `away` where it did not answer.",
            ("outcome",),
            registry=registry,
        )
        self.seconds = Histogram(
            "hybrid_quota_lease_seconds",
            "Time until the database had answered.",
            buckets=_SECONDS,
            registry=registry,
        )
