"""The keys of a vendor, for each of its models."""

from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from services.chassis.deadline import to_duration
from services.config.provider import VendorProvider
from services.workers.vendor import affinity
from services.workers.vendor.headroom import UNITS, Reading, total
from services.workers.vendor.keys import KeyPool


class Pools:
    """A pool for each model, as the configuration says."""

    def __init__(self, config: VendorProvider) -> None:
        limit = config.adaptive_limit
        limits = {"initial_limit": limit.initial, "maximum_limit": limit.maximum} if limit else {}
        labels = [affinity.label(key.get_secret_value()) for key in config.api_keys]
        self._by_model = {
            name: KeyPool(len(labels), pause_seconds=config.key_pause_seconds, labels=labels, **limits)
            for name in config.model_names
        }

    def __getitem__(self, model: str) -> KeyPool:
        return self._by_model[model]

    @property
    def leases(self) -> int:
        """Requests under way."""
        return sum(pool.leases for pool in self._by_model.values())

    def headroom(self, *, now: float) -> list[worker_status.Headroom]:
        """What all keys of a model have together; of the model that has the smallest share left."""
        found = []
        for unit in UNITS:
            totals = (total(pool.rates(unit, now=now), now=now) for pool in self._by_model.values())
            known = [one for one in totals if one is not None]
            if known:
                found.append(_described(unit, min(known, key=lambda one: one.remaining / one.limit)))
        return found


def _described(unit: str, reading: Reading) -> worker_status.Headroom:
    return worker_status.Headroom(
        unit=unit,
        remaining=reading.remaining,
        limit=reading.limit,
        reset_after=to_duration(reading.reset_after),
    )
