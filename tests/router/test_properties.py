"""Decisions do not depend on the order of the configuration. `test_lives.py` has what else holds whatever happens."""

from hypothesis import given
from hypothesis import strategies as st

from services.config.mesh import MeshConfig
from tests.router.scene import LOST, Scene


def _placements(config: MeshConfig, seed: int) -> list[str]:
    scene = Scene(config, seed=seed)
    placed = [scene.place() for _ in range(12)]
    for attempt in placed[::2]:
        scene.end(attempt, LOST)
    return [f"{attempt.worker} {attempt.provider_model}" for attempt in placed + [scene.place() for _ in range(12)]]


@given(
    seed=st.integers(0, 10_000),
    order=st.permutations(["a", "b", "c"]),
    strategy=st.sampled_from(("round_robin", "least_loaded")),
)
def test_decisions_do_not_depend_on_the_order_of_the_configuration(seed: int, order: list[str], strategy: str) -> None:
    def config(names: list[str]) -> MeshConfig:
        providers = {name: {"kind": "echo", "models": ["pm"], "workers": 2} for name in names}
        model = {"name": "m", "strategy": strategy, "routes": [{"provider": name} for name in names]}
        return MeshConfig.model_validate({"providers": providers, "models": [model]})

    assert _placements(config(order), seed) == _placements(config(["a", "b", "c"]), seed)
