"""A router without a network: the decision core, a clock that stands still, and words for what happens to it."""

import itertools
import random
from collections.abc import Mapping, Sequence

from google.rpc import code_pb2, status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2 as fleet
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis import status
from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.router.decider import Decider, Refused
from services.router.leases import GatewayStream
from services.router.observer import NullObserver, Observer
from services.router.roster import Roster

OK = status_pb2.Status()
LOST = status.to_status(Failure(reasons.ERROR_REASON_WORKER_LOST, "The worker went away."))
CHAT = (model.CAPABILITY_CHAT,)


def mesh_config(
    *,
    workers: int = 3,
    fallback_workers: int = 0,
    strategy: str = "least_loaded",
    router: Mapping[str, object] | None = None,
    addresses: Sequence[str] | None = None,
    flags: Mapping[str, object] | None = None,
    shadow_share: float = 0.0,
    max_waiting: int = 512,
    slo: float | None = None,
    price: Mapping[str, float] | None = None,
) -> MeshConfig:
    """One model, `m`, on workers `main-0` and so on; fallback ones are `spare-0` and so on, shadows `shade-0` and 1."""
    providers: dict[str, object] = {"main": {"kind": "echo", "models": ["pm"], "workers": addresses or workers}}
    routes: list[dict[str, object]] = [{"provider": "main", "price": price}]
    if fallback_workers:
        providers["spare"] = {"kind": "echo", "models": ["ps"], "workers": fallback_workers}
        routes.append({"provider": "spare", "role": "fallback"})
    if shadow_share:
        providers["shade"] = {"kind": "echo", "models": ["ps"], "workers": 2}
        routes.append({"provider": "shade", "role": "shadow", "share": shadow_share})
    return MeshConfig.model_validate(
        {
            "providers": providers,
            "models": [
                {
                    "name": "m",
                    "strategy": strategy,
                    "routes": routes,
                    "queue": {"max_waiting": max_waiting},
                    "slo": {"first_content_seconds": slo},
                }
            ],
            "router": router or {},
            "flags": flags or {},
        }
    )


def report(
    *,
    epoch: int = 1,
    sequence: int = 1,
    state: worker_status.WorkerState = worker_status.WORKER_STATE_SERVING,
    running: int = 0,
    waiting: int = 0,
    capacity: int = 0,
    kind: str = "vllm",
    queued_tokens: int = 0,
    kv_usage: float | None = None,
    kv_capacity_tokens: int = 0,
    capabilities: Sequence[model.Capability] = CHAT,
    models: Sequence[str] = ("pm", "ps"),
) -> worker_status.WorkerStatus:
    """A worker's report."""
    return worker_status.WorkerStatus(
        kind=kind,
        state=state,
        epoch=epoch,
        sequence=sequence,
        running=running,
        waiting=waiting,
        capacity=capacity,
        queued_tokens=queued_tokens,
        kv_usage=kv_usage,
        kv_capacity_tokens=kv_capacity_tokens,
        models=[worker_status.WorkerModel(name=name, capabilities=capabilities) for name in models],
    )


class Scene:
    """A decider with one gateway's stream open, and everything healthy unless told otherwise."""

    def __init__(
        self,
        config: MeshConfig | None = None,
        *,
        healthy: bool = True,
        seed: int = 1,
        observer: Observer | None = None,
    ) -> None:
        self.config = config or mesh_config()
        self.now = 1000.0
        watcher = observer or NullObserver()
        self.roster = Roster(self.config, watcher)
        attempts, self._generations = itertools.count(1), itertools.count(1)
        self.decider = Decider(
            self.roster,
            self.config.router.retry,
            rng=random.Random(seed),
            new_id=lambda: f"attempt-{next(attempts)}",
            observer=watcher,
        )
        self.stream: GatewayStream = self.decider.on_stream("gateway", ())
        if healthy:
            for name in self.roster.workers:
                self.report(name)

    def reconfigure(self, config: MeshConfig) -> None:
        self.decider.reconfigure(config, self.now)

    def report(self, name: str, status: worker_status.WorkerStatus | None = None) -> None:
        self.roster.on_status(name, status or report(), self.now)

    def answer(
        self,
        *,
        capabilities: Sequence[model.Capability] = CHAT,
        time_left: float | None = None,
        name: str = "m",
        generation_id: str = "",
        continuable: bool = False,
    ) -> placement.Placement | placement.Waiting | Refused:
        ask = placement.PlacementAsk(
            generation_id=generation_id or f"generation-{next(self._generations)}",
            model=name,
            capabilities=capabilities,
            time_left=None if time_left is None else to_duration(time_left),
            continuable=continuable,
        )
        return self.decider.on_ask(self.stream, ask, self.now)

    def place(
        self, *, time_left: float | None = None, generation_id: str = "", continuable: bool = False
    ) -> placement.Placement:
        placed = self.answer(time_left=time_left, generation_id=generation_id, continuable=continuable)
        assert isinstance(placed, placement.Placement), placed
        return placed

    def refusal(
        self,
        *,
        capabilities: Sequence[model.Capability] = CHAT,
        time_left: float | None = None,
        name: str = "m",
    ) -> Failure:
        refused = self.answer(capabilities=capabilities, time_left=time_left, name=name)
        assert isinstance(refused, Refused), refused
        assert isinstance(refused.cause, Failure)
        return refused.cause

    def wait(self, *, time_left: float | None = None, generation_id: str = "") -> placement.Waiting:
        waits = self.answer(time_left=time_left, generation_id=generation_id)
        assert isinstance(waits, placement.Waiting), waits
        return waits

    def released(self) -> list[placement.Placement | placement.Waiting | Refused]:
        """Answers to those that waited."""
        return [answer for _, answer in self.decider.released(self.now)]

    def end(
        self,
        placed: placement.Placement,
        ended: status_pb2.Status = OK,
        *,
        wanted: bool = True,
        committed: bool = False,
        continuable: bool = False,
        time_left: float | None = None,
        spent: int = 0,
    ) -> placement.Placement | placement.Waiting | Refused | None:
        outcome = placement.AttemptOutcome(
            attempt_id=placed.attempt_id,
            status=ended,
            wanted=wanted,
            committed=committed,
            continuable=continuable,
            time_left=None if time_left is None else to_duration(time_left),
            spent_nano_usd=spent,
        )
        return self.decider.on_outcome(self.stream, outcome, self.now)

    def hedge(
        self, placed: placement.Placement, *, time_left: float | None = None, spent: int = 0
    ) -> placement.Placement | Refused:
        left = None if time_left is None else to_duration(time_left)
        ask = placement.HedgeAsk(attempt_id=placed.attempt_id, time_left=left, spent_nano_usd=spent)
        return self.decider.on_hedge(self.stream, ask, self.now)

    def begin(self, placed: placement.Placement, latency: float = 0.1) -> None:
        content = placement.FirstContent(attempt_id=placed.attempt_id, latency=to_duration(latency))
        self.decider.on_first_content(self.stream, content, self.now)

    def health(self, name: str) -> str:
        return fleet.WorkerHealth.Name(self.roster.workers[name].health).removeprefix("WORKER_HEALTH_")

    def leases(self) -> dict[str, int]:
        return {name: worker.leases for name, worker in self.roster.workers.items()}


def failed(reason: reasons.ErrorReason, *, retry_after: float | None = None, **metadata: str) -> status_pb2.Status:
    """The status of a failure."""
    return status.to_status(Failure(reason, "It failed.", retry_after=retry_after, metadata=metadata))


def told(refused: object) -> Failure:
    """What a refusal tells the caller."""
    assert isinstance(refused, Refused), refused
    cause = refused.cause
    return cause if isinstance(cause, Failure) else status.from_status(cause)


def bare(code: int) -> status_pb2.Status:
    """A status without details, as a library makes it."""
    return status_pb2.Status(code=code, message=code_pb2.Code.Name(code))
