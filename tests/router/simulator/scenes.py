"""Small scenarios, and the results of playing them."""

from typing import Any

from services.router.simulator.mesh import Mesh, simulate
from services.router.simulator.policy import Policy
from services.router.simulator.results import Result
from services.router.simulator.scenario import Scenario
from services.router.simulator.traffic.request import Request


def scenario(*, workers: int = 3, requests: int = 120, **more: Any) -> Scenario:
    """Equal workers and a little generated traffic; `more` is what the scenario has besides."""
    traffic = {"generated": {"requests": requests, "requests_per_second": 4.0}, "thin": 0.0, "jitter_seconds": 0.0}
    return Scenario.model_validate(
        {
            "name": "small",
            "fleet": [{"name": "gpu", "workers": workers}],
            "traffic": traffic,
            "warmup_share": 0.0,
            **more,
        }
    )


def played(chosen: Scenario, *, policy: str = "least_loaded", seed: int = 1) -> Result:
    """The scenario's result."""
    return simulate(chosen, policy, seed)


def given(chosen: Scenario, requests: list[Request], *, policy: str = "least_loaded") -> tuple[Mesh, Result]:
    """The result of these very requests, and the mesh as it is after them."""
    mesh = Mesh(chosen, Policy.parse(policy), 1, {})
    return mesh, mesh.run(requests)


def evenly(count: int, *, gap: float = 0.5, input_tokens: int = 600, output_tokens: int = 40) -> list[Request]:
    """Equal requests at equal distances."""
    return [Request(number, number * gap, input_tokens, output_tokens) for number in range(count)]
