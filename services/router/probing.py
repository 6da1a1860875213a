"""Which workers are worth a small generation of the router's own, and when."""

from hybridinference.inference.v1 import model_pb2 as model

from services.config.mesh import MeshConfig
from services.config.router import Probe
from services.router.breaker import State
from services.router.roster import Roster
from services.router.worker import Worker

# Kinds of providers that answer for nothing. A vendor's tokens cost money, or somebody's quota.
_OF_OUR_OWN = ("echo", "vllm")
# A worker that failed a probe, or gets on with nothing, is asked again so soon.
_AGAIN_SECONDS = 2.0


def is_free(worker: Worker, config: MeshConfig, roster: Roster) -> bool:
    """Whether the worker may be asked: an engine of one's own whose tokens have no price on any route."""
    provider = config.providers.get(worker.place.provider)
    if provider is None or provider.kind not in _OF_OUR_OWN:
        return False
    return all(target.free for pool in roster.models.values() for target in pool.targets if target.worker is worker)


def due(worker: Worker, settings: Probe, now: float, *, asked_at: float, failed: bool) -> bool:
    """Whether the worker should be asked now.

    One that is in use tells by that how it is. One that is left alone, since its attempts failed or nothing comes of
    it, is asked so that no caller's request has to be tried on it.

    Args:
        worker: who.
        settings: how long is idle.
        now: the time.
        asked_at: when it was last asked.
        failed: whether that failed.
    """
    if not worker.serving or now < asked_at + _AGAIN_SECONDS:
        return False
    if worker.progress.stalled(now):
        return True
    if not worker.breaker.admits(now):
        return False
    if uncertain(worker, now, asked_at=asked_at, failed=failed):
        return True
    idle = worker.leases + worker.others == 0
    return idle and now >= max(worker.used_at, asked_at) + settings.idle_seconds


def uncertain(worker: Worker, now: float, *, asked_at: float, failed: bool) -> bool:
    """Whether nothing says that it is well, since nothing comes of it or what was last asked of it failed."""
    unanswered = failed and worker.used_at <= asked_at
    return worker.progress.stalled(now) or worker.breaker.state is not State.CLOSED or unanswered


def model_to_ask(worker: Worker) -> str:
    """A model of the worker's that answers messages, by the provider's name; empty where there is none."""
    return next((name for name, can in sorted(worker.served.items()) if model.CAPABILITY_CHAT in can), "")
