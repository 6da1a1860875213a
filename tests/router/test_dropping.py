"""Routes that leave out what their provider does not have."""

import pytest
from hybridinference.inference.v1 import model_pb2 as model

from services.config.mesh import MeshConfig
from services.inference.capabilities import DROPPABLE
from tests.router.scene import LOST, Scene, report

CHAT, SEED, TOOLS = model.CAPABILITY_CHAT, model.CAPABILITY_SEED, model.CAPABILITY_TOOLS


def scene(plain: str = "refuse", able: str = "refuse", *, able_role: str = "primary") -> Scene:
    """Two providers: `plain` only chats, `able` has seeds, too; each with what its route says."""
    config = MeshConfig.model_validate(
        {
            "providers": {name: {"kind": "echo", "models": ["pm"]} for name in ("plain", "able")},
            "models": [
                {
                    "name": "m",
                    "routes": [
                        {"provider": "plain", "on_unsupported": plain},
                        {"provider": "able", "on_unsupported": able, "role": able_role},
                    ],
                }
            ],
        }
    )
    made = Scene(config, healthy=False)
    made.report("plain-0", report(capabilities=(CHAT,)))
    made.report("able-0", report(capabilities=(CHAT, SEED)))
    return made


def placed(made: Scene, *needs: model.Capability) -> tuple[str, bool]:
    answer = made.answer(capabilities=needs)
    return answer.worker, answer.drop_unsupported  # type: ignore[union-attr]


def test_a_route_that_leaves_out_serves_what_it_could_not_and_says_so() -> None:
    made = scene(plain="drop")
    made.roster.on_lost("able-0")
    assert placed(made, CHAT, SEED) == ("plain-0", True)
    assert placed(made, CHAT) == ("plain-0", True)


def test_those_that_have_everything_come_first() -> None:
    made = scene(plain="drop", able="drop")
    assert [placed(made, CHAT, SEED) for _ in range(3)] == [("able-0", True)] * 3
    assert {placed(made, CHAT)[0] for _ in range(6)} == {"plain-0", "able-0"}, "nothing to leave out: all are alike"


def test_a_primary_route_that_leaves_out_comes_before_a_fallback_that_does_not() -> None:
    assert placed(scene(plain="drop", able_role="fallback"), CHAT, SEED) == ("plain-0", True)


def test_only_parameters_are_left_out() -> None:
    made = scene(plain="drop", able="drop")
    refused = made.refusal(capabilities=(CHAT, SEED, TOOLS))
    assert refused.metadata["capability"] == "tools", "the seed is not what stands in the way"
    assert refused.metadata["provider"] == "able, plain"


@pytest.mark.parametrize("need", sorted(DROPPABLE - {SEED}))
def test_a_route_that_does_not_leave_out_refuses(need: "model.Capability") -> None:
    assert scene().refusal(capabilities=(CHAT, need)).reason_name == "UNSUPPORTED"
    assert placed(scene(plain="drop"), CHAT, need) == ("plain-0", True)


def test_a_failed_attempt_may_be_followed_by_one_that_leaves_out() -> None:
    made = scene(plain="drop")
    first = made.answer(capabilities=(CHAT, SEED))
    assert first.worker == "able-0"  # type: ignore[union-attr]
    second = made.end(first, LOST)  # type: ignore[arg-type]
    assert (second.worker, second.drop_unsupported) == ("plain-0", True)  # type: ignore[union-attr]


def test_the_fleet_is_told_which_routes_leave_out() -> None:
    seen = {one.worker: one.routes[0].drop_unsupported for one in scene(plain="drop").roster.snapshot(0.0)}
    assert seen == {"plain-0": True, "able-0": False}
