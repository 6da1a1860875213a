"""The router's own settings: attempts, health, hedges, what it tells of its decisions."""

import pydantic

from services.config.base import Section

# More than any one mesh has use for.
MOST_ROUTERS = 16


class Retry(Section):
    """Attempts after the first. Never once content has reached the caller."""

    max_attempts: int = pydantic.Field(default=3, ge=1, le=10, description="In all: the first and hedges counted.")
    budget_ratio: float = pydantic.Field(default=0.2, ge=0, description="Retries as a share of requests.")
    budget_per_second: float = pydantic.Field(default=3.0, ge=0, description="Retries always allowed.")
    backoff_ms: float = pydantic.Field(default=50.0, ge=0, description="First pause; doubles each time.")
    backoff_max_ms: float = pydantic.Field(default=1000.0, ge=0, description="Longest pause.")


class Breaker(Section):
    """When a worker is left alone because attempts there fail."""

    consecutive_failures: int = pydantic.Field(default=5, ge=1, description="After so many in a row it is left alone.")
    success_rate: float = pydantic.Field(
        default=0.7,
        ge=0,
        le=1,
        description="With a lower share of the last attempts it is left alone. 0: never so.",
    )
    window_seconds: float = pydantic.Field(default=30.0, gt=0, le=3600, description="How far back those attempts go.")
    window_attempts: int = pydantic.Field(default=20, ge=1, description="How many there must be to tell.")
    open_seconds: float = pydantic.Field(default=1.0, gt=0, description="First time out; doubles each time.")
    open_max_seconds: float = pydantic.Field(default=60.0, gt=0, description="Longest time out.")
    max_ejected_share: float = pydantic.Field(
        default=0.5, ge=0, le=1, description="Most of a model's workers that are left alone at once."
    )


class Probe(Section):
    """Small generations for workers that have had nothing to do, so that a dead engine is found before a caller is."""

    enabled: bool = pydantic.Field(default=True, description="Only workers whose tokens cost nothing are asked.")
    idle_seconds: float = pydantic.Field(default=30.0, ge=1, description="How long a worker has had nothing to do.")
    seconds: float = pydantic.Field(default=10.0, gt=0, description="How long it may take to answer.")


class Hedge(Section):
    """A second attempt beside one that is slow to begin. `flags.hedging` says for which requests."""

    budget_ratio: float = pydantic.Field(default=0.02, ge=0, le=1, description="Hedges as a share of requests.")
    factor: float = pydantic.Field(default=2.0, ge=1, description="How many times the expected time is slow.")
    least_seconds: float = pydantic.Field(default=0.5, gt=0, description="What is never called slow.")
    paid: bool = pydantic.Field(default=False, description="Whether attempts that cost money may be hedges.")


class Continuation(Section):
    """Going on with a broken plain-text answer at another replica. `flags.continuation` says for which requests."""

    max_times: int = pydantic.Field(default=2, ge=1, le=10, description="How often one answer may be gone on with.")


class Router(Section):
    """The router."""

    instances: int = pydantic.Field(
        default=1, ge=1, le=MOST_ROUTERS, description="Processes; each knows all workers, and gateways keep to one."
    )
    listen: str | tuple[str, ...] = pydantic.Field(
        default="unix:run/router.sock", description="unix:PATH or HOST:PORT; a list names one for each process."
    )
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    probe: Probe = Probe()
    hedge: Hedge = Hedge()
    continuation: Continuation = Continuation()
    stale_seconds: float = pydantic.Field(default=3.0, gt=0, description="Silence that counts as death.")
    slow_start_seconds: float = pydantic.Field(
        default=10.0, ge=0, description="How long a worker that has come, or come back, is given more bit by bit."
    )
    decision_log_share: float = pydantic.Field(
        default=0.01, ge=0, le=1, description="Share of the decisions that are logged with their terms."
    )
