"""The configuration of a simulated mesh: what a scenario and a policy mean to the decision core."""

from services.config.mesh import MeshConfig
from services.router.simulator import strategies
from services.router.simulator.policy import Policy
from services.router.simulator.scenario import Scenario
from services.router.simulator.worker import MODEL


def configuration(scenario: Scenario, policy: Policy) -> MeshConfig:
    """The mesh's configuration. Its workers are echo workers by their kind, which says nothing of how they behave."""
    providers = {}
    routes = []
    sizes = {group.name: group.workers for group in scenario.fleet} | {vendor.name: 1 for vendor in scenario.vendors}
    for group in scenario.providers:
        addresses = [f"unix:{group.name}-{index}" for index in range(sizes[group.name])]
        providers[group.name] = {"kind": "echo", "models": [MODEL], "workers": addresses}
        price = group.price.model_dump(exclude_none=True)
        routes.append({"provider": group.name, "role": group.role, "price": price, "weight": group.weight})
    model = {
        "name": MODEL,
        "strategy": strategies.settings(policy),
        "routes": routes,
        "queue": scenario.queue.model_dump(),
    }
    return MeshConfig.model_validate(
        {
            "providers": providers,
            "models": [model],
            "router": scenario.router.model_dump(),
            "flags": scenario.flags.model_dump(),
        }
    )
