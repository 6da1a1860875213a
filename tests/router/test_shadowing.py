"""A share of the requests is sent to a shadow as well."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.router.v1 import placement_pb2 as placement

from tests.router.scene import CHAT, LOST, Scene, failed, mesh_config, report


def test_a_shadow_comes_with_the_first_placement_and_has_a_lease_of_its_own() -> None:
    made = Scene(mesh_config(workers=2, shadow_share=1.0))
    placed = made.place(generation_id="g")
    shadow = placed.shadow
    assert (shadow.kind, shadow.provider, shadow.generation_id) == (placement.ATTEMPT_KIND_SHADOW, "shade", "g")
    assert shadow.attempt_id != placed.attempt_id
    assert made.leases() == {"main-0": 1, "main-1": 0, "shade-0": 1, "shade-1": 0}
    assert made.place().shadow.worker == "shade-1"


def test_a_retry_has_no_shadow() -> None:
    made = Scene(mesh_config(workers=2, shadow_share=1.0))
    again = made.end(made.place(), LOST)
    assert isinstance(again, placement.Placement)
    assert not again.HasField("shadow")


def test_the_end_of_a_shadow_changes_nothing_for_its_request() -> None:
    made = Scene(mesh_config(workers=2, shadow_share=1.0))
    placed = made.place()
    assert made.end(placed.shadow, LOST, wanted=False) is None
    again = made.end(placed, LOST)
    assert isinstance(again, placement.Placement)
    assert again.number == 2


def test_a_request_that_ends_leaves_its_shadow() -> None:
    made = Scene(mesh_config(workers=1, shadow_share=1.0))
    placed = made.place()
    made.end(placed)
    assert made.leases() == {"main-0": 0, "shade-0": 1, "shade-1": 0}
    made.end(placed.shadow, failed(reasons.ERROR_REASON_CANCELLED), wanted=False)
    assert made.decider.leases == 0


def test_shadow_routes_serve_nothing_else() -> None:
    made = Scene(mesh_config(workers=1, shadow_share=1.0))
    made.roster.on_lost("main-0")
    assert made.refusal().reason_name == "NO_HEALTHY_WORKER"


def test_a_share_of_the_requests_has_a_shadow_and_the_same_ones_each_time() -> None:
    made = Scene(mesh_config(workers=1, shadow_share=0.2))

    def shaded() -> list[str]:
        drawn = []
        for number in range(1000):
            placed = made.place(generation_id=f"generation-{number}")
            if placed.HasField("shadow"):
                drawn.append(placed.generation_id)
                made.end(placed.shadow, wanted=False)
            made.end(placed)
        return drawn

    first = shaded()
    assert 150 < len(first) < 250
    assert shaded() == first


def test_a_shadow_without_room_health_or_ability_is_left_out() -> None:
    made = Scene(mesh_config(workers=1, shadow_share=1.0))
    made.report("shade-0", report(sequence=2, capacity=1, running=1))
    made.report("shade-1", report(sequence=2, capabilities=()))
    assert not made.place().HasField("shadow")
    made.roster.on_lost("shade-0")
    assert not made.place().HasField("shadow")


def test_embeddings_have_no_shadow() -> None:
    made = Scene(mesh_config(workers=1, shadow_share=1.0))
    able = (model.CAPABILITY_EMBEDDINGS,)
    for name in made.roster.workers:
        made.report(name, report(sequence=2, capabilities=able))
    answer = made.answer(capabilities=able)
    assert isinstance(answer, placement.Placement)
    assert not answer.HasField("shadow")


def test_what_only_the_shadow_could_do_is_refused_as_what_nobody_can() -> None:
    made = Scene(mesh_config(shadow_share=1.0))
    for name in ("shade-0", "shade-1"):
        made.report(name, report(sequence=2, capabilities=(*CHAT, model.CAPABILITY_TOOLS)))
    refused = made.refusal(capabilities=(*CHAT, model.CAPABILITY_TOOLS))
    assert refused.reason_name == "UNSUPPORTED"
