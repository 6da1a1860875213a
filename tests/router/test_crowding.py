"""Whether there is too little room in the fleet."""

from services.router.crowding import Crowding


def test_a_fleet_is_crowded_at_once_and_calm_a_while_after() -> None:
    crowding = Crowding()
    assert not crowding.look(False, 100.0)
    assert crowding.look(True, 100.0)
    assert crowding.crowded
    assert not crowding.look(False, 100.9)
    assert crowding.look(False, 101.0)
    assert not crowding.crowded


def test_what_is_short_of_room_again_and_again_stays_crowded() -> None:
    crowding = Crowding()
    assert [crowding.look(short, now) for now, short in ((0.0, True), (0.9, False), (0.95, True), (1.9, False))] == [
        True,
        False,
        False,
        False,
    ]
