"""One team's part of the calls and bytes under way, and the rest that is there for the others."""

import pytest

from gateway.budget import LEAST_BODIES, MIB
from gateway.core.errors import Code, Refusal
from gateway.web.room import READS, WRITES, Room


def refused(room: Room, team: str, size: int) -> bool:
    try:
        room.hold(team, size)
    except Refusal:
        return True
    return False


def filled(room: Room, team: str, calls: int) -> None:
    for _ in range(calls):
        room.enter()
        room.join(team)


def test_qu8_one_team_takes_a_third_of_the_calls_and_the_others_find_room() -> None:
    room = Room(calls=300, size=LEAST_BODIES)
    filled(room, "a", 100)
    room.check(WRITES, "a")
    filled(room, "a", 1)
    with pytest.raises(Refusal, match=r"Your team has more than 100 calls under way, .* GATEWAY_MAX_IN_FLIGHT"):
        room.check(WRITES, "a")
    room.check(READS, "a")
    room.check(WRITES, "b")
    filled(room, "a", 25)
    with pytest.raises(Refusal, match=r"Your team has more than 125 calls under way, .* GATEWAY_MAX_IN_FLIGHT"):
        room.check(READS, "a")
    for _ in range(25):
        room.leave("a", 0)
    room.leave("a", 0)
    room.check(WRITES, "a")


def test_a_small_gateway_is_one_teams_if_it_wants_it() -> None:
    room = Room(calls=40, size=LEAST_BODIES)
    filled(room, "a", 40)
    room.check(WRITES, "a")
    filled(room, "a", 1)
    with pytest.raises(Refusal, match="The gateway has all the work"):
        room.check(WRITES, "b")
    room.check(READS, "b")


def test_a_call_of_nobody_counts_for_nobody() -> None:
    room = Room(calls=1, size=LEAST_BODIES)
    room.enter()
    room.leave(None, 0)
    assert room.load.calls == 0
    room.check(WRITES, "a")


def test_qu8_a_call_of_nobody_that_waits_takes_up_no_room() -> None:
    room = Room(calls=3, size=LEAST_BODIES)
    for _ in range(4):
        room.enter()
    with room.aside():
        room.check(WRITES)
        assert (room.load.calls, room.load.aside, dict(room._teams)) == (3, 1, {})
    with pytest.raises(Refusal):
        room.check(WRITES)


def test_rs5_one_team_holds_a_third_of_the_bytes_and_gives_them_back() -> None:
    room = Room(calls=300, size=LEAST_BODIES)
    filled(room, "a", 2)
    third = LEAST_BODIES // 3
    assert not refused(room, "a", third - 1)
    assert refused(room, "a", 2)
    filled(room, "b", 1)
    assert not refused(room, "b", third)
    room.leave("a", third - 1)
    assert not refused(room, "a", third)
    filled(room, "c", 1)
    assert not refused(room, "c", third - 1)
    filled(room, "d", 1)
    assert refused(room, "d", 5)
    assert room.load.held <= LEAST_BODIES


def test_a_refusal_says_when_to_come_back_and_ends_the_connection() -> None:
    room = Room(calls=300, size=LEAST_BODIES)
    room.hold("b", 1)
    with pytest.raises(Refusal) as raised:
        room.hold("a", LEAST_BODIES)
    assert (raised.value.code, raised.value.retry_after, raised.value.close) == (Code.OVERLOADED, 1, True)


def test_an_answer_larger_than_a_teams_part_fits_alone() -> None:
    room = Room(calls=300, size=LEAST_BODIES)
    filled(room, "a", 1)
    assert not refused(room, "a", 100 * MIB)
    assert refused(room, "a", 1)


def test_rs5_an_answer_larger_than_all_there_is_fits_while_nobody_holds_anything() -> None:
    room = Room(calls=300, size=4 * MIB)
    filled(room, "a", 2)
    assert not refused(room, "a", 5 * MIB)
    assert refused(room, "b", 1)
    room.leave("a", 5 * MIB)
    assert not refused(room, "b", 1)


def test_a_body_as_large_as_allowed_always_has_a_place_in_a_teams_part() -> None:
    room = Room(calls=300, size=4000 * MIB)
    filled(room, "a", 2)
    assert not refused(room, "a", 100 * MIB)
    assert not refused(room, "a", 1000 * MIB)


def test_lp2_a_call_that_waits_takes_up_no_room_but_what_it_holds() -> None:
    room = Room(calls=40, size=LEAST_BODIES)
    filled(room, "a", 41)
    room.hold("a", 100)
    with room.aside("a"):
        room.check(WRITES, "a")
        assert (room.load.calls, room.load.aside, room.load.held) == (40, 1, 100)
    with pytest.raises(Refusal):
        room.check(WRITES, "a")
    room.let_go("a", 100)
    assert room.load.held == 0


def test_a_team_whose_calls_all_wait_is_not_forgotten() -> None:
    room = Room(calls=300, size=LEAST_BODIES)
    filled(room, "a", 2)
    room.hold("a", LEAST_BODIES // 3 - 1)
    with room.aside("a"):
        room.leave("a", 0)
        assert refused(room, "a", 2)
    room.leave("a", LEAST_BODIES // 3 - 1)
    assert (room.load.calls, room.load.held, dict(room._teams)) == (0, 0, {})


def test_a_body_larger_than_a_teams_part_comes_part_by_part_while_the_team_holds_nothing_else() -> None:
    room = Room(calls=300, size=300)
    filled(room, "a", 2)
    for own in range(0, 200, 50):
        room.hold("a", 50, own)
    assert refused(room, "a", 1), "another call of the team's"
    room.hold("a", 100, 200)
    assert refused(room, "b", 1), "there is no more"
