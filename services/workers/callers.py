"""Which processes may call which methods of a worker, by their certificates."""

from collections.abc import Mapping

from services.chassis.roles import Role

_WORKER = "/hybridinference.worker.v1.WorkerService"

CALLERS: Mapping[str, tuple[Role, ...]] = {
    f"{_WORKER}/Session": ("gateway",),
    # The router's are its probes of workers that have had nothing to do; a person's are of `hybrid verify`.
    f"{_WORKER}/Execute": ("gateway", "router", "cli"),
    f"{_WORKER}/Embed": ("gateway", "cli"),
    f"{_WORKER}/WatchStatus": ("router", "cli"),
}
