"""One run: a scenario, a policy and a seed, from the first request to the end of the last."""

from collections.abc import Iterable, Mapping

from services.router.policies.baselines.table import BASELINES
from services.router.simulator.fleet import configuration
from services.router.simulator.gateway import Gateways
from services.router.simulator.local import LocalWorker
from services.router.simulator.policy import Policy
from services.router.simulator.prober import Prober
from services.router.simulator.remote import RemoteWorker
from services.router.simulator.results import Result
from services.router.simulator.router import SimulatedRouter
from services.router.simulator.rows import row
from services.router.simulator.scenario import Scenario
from services.router.simulator.strategies import Maker, factory
from services.router.simulator.timeline import Timeline
from services.router.simulator.traffic import arrivals, generator, trace
from services.router.simulator.traffic.request import Request
from services.router.simulator.worker import SimulatedWorker


def simulate(
    scenario: Scenario, policy: Policy | str, seed: int, *, baselines: Mapping[str, Maker] = BASELINES
) -> Result:
    """Play the scenario under the policy. The same arguments give the same result, byte for byte.

    `baselines` makes strategies by name that no configuration can name. Requests and the world's chance depend on the
    seed alone, so that policies can be compared seed by seed.

    Raises:
        TraceError: the scenario's trace cannot be read.
        PolicyError: there is no such policy.
    """
    chosen = Policy.parse(policy) if isinstance(policy, str) else policy
    return Mesh(scenario, chosen, seed, baselines).run(requests(scenario, seed))


def requests(scenario: Scenario, seed: int) -> list[Request]:
    """The requests of a seed, in the order they come; the same for every policy.

    Raises:
        TraceError: the trace cannot be read, or there are none.
    """
    traffic = scenario.traffic
    source: Iterable[Request]
    source = trace.read(traffic.trace) if traffic.trace else generator.generate(traffic.generated, seed)
    arrived = arrivals.arrive(source, traffic, scenario.tenants, seed)
    if not arrived:
        raise trace.TraceError(f"{traffic.trace or 'the generator'}: no request is in the window, or none is left in")
    return arrived


class Mesh:
    """Workers, routers and gateways of one run, wired to each other."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int, baselines: Mapping[str, Maker]) -> None:
        self._scenario, self._policy, self._seed = scenario, policy, seed
        self.timeline = Timeline()
        config, new_strategy = configuration(scenario, policy), factory(policy, baselines)
        self.routers = [
            SimulatedRouter(config, new_strategy, number, seed, self.timeline)
            for number in range(scenario.wiring.routers)
        ]
        self.workers = self._workers()
        self.gateways = Gateways(scenario, self.routers, self.workers, self.timeline)
        for router in self.routers:
            router.on_answer = self.gateways.on_answer
        for worker in self.workers.values():
            worker.connect([router.hear for router in self.routers])
        for number, router in enumerate(self.routers):
            Prober(router, number, self.workers, scenario.wiring, seed, self.timeline)

    def run(self, requests: list[Request]) -> Result:
        """Let the requests come, and play until the last of them has ended."""
        timeline, gateways = self.timeline, self.gateways
        # By then what was sent at first has arrived, and the workers have been there for long enough to be trusted.
        begin = self._scenario.wiring.staleness_seconds + self._scenario.router.slow_start_seconds + 1.0
        for fault in self._scenario.faults:
            for name in self._scenario.workers_of(fault.worker):
                timeline.at(begin + fault.at_seconds, self.workers[name].on_fault, fault)
        for request in requests:
            while timeline.next_at < begin + request.at:
                timeline.step()
            timeline.at(begin + request.at, gateways.arrive, request)
        while gateways.open or len(gateways.calls) < len(requests):
            timeline.step()
        # What was given up last is still to be told to its worker, which says what it has brought.
        end = timeline.now + self._scenario.wiring.network_seconds
        while timeline.next_at <= end:
            timeline.step()
        prices = {group.name: group.price.tariff for group in self._scenario.providers}
        rows = [row(call, self._scenario.slo, prices) for call in gateways.calls]
        return Result(
            scenario=self._scenario.name,
            policy=str(self._policy),
            seed=self._seed,
            rows=tuple(rows),
            warmup_share=self._scenario.warmup_share,
            weights={tenant.key: tenant.weight for tenant in self._scenario.tenants},
        )

    def _workers(self) -> dict[str, SimulatedWorker]:
        scenario = self._scenario
        workers: dict[str, SimulatedWorker] = {}
        numbers = {name: number for number, name in enumerate(scenario.worker_names())}
        common = (self.timeline, scenario, self._seed)
        for group in scenario.fleet:
            for index in range(group.workers):
                name = f"{group.name}-{index}"
                workers[name] = LocalWorker(name, group, *common, numbers[name])
        for vendor in scenario.vendors:
            name = f"{vendor.name}-0"
            workers[name] = RemoteWorker(name, vendor, *common, numbers[name])
        return workers
