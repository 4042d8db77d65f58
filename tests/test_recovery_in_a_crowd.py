"""Lost creates are found, and left alone, alike however many creates of no concern are under way."""

import sqlite3

from tests.conftest import House
from tests.test_recovery import PROMPT, happen, leave_behind, look_again, lose, quiet_house

__all__ = ["quiet_house"]

CROWD = 1500


async def crowd(house: House, at: float) -> None:
    """Many creates of another model under way, as old as that."""
    await leave_behind(house, "one-of-many", now=at)
    with sqlite3.connect(house.gw.settings.ledger.removeprefix("sqlite:///")) as ledger:
        ledger.execute("UPDATE reservations SET model = 'Kling' WHERE id = 'one-of-many'")
        names = [name for _, name, *_ in ledger.execute("PRAGMA table_info(reservations)") if name != "id"]
        columns = ", ".join(names)
        ledger.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            f"INSERT INTO reservations (id, {columns}) "
            f"SELECT 'crowd-' || n, {columns} FROM reservations, numbers WHERE id = 'one-of-many'",
            (CROWD,),
        )
    ledger.close()


async def test_az7_a_rival_behind_a_crowd_is_a_rival(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "mine", at=now - 2)
    await crowd(quiet_house, now - 1)
    await lose(quiet_house, "theirs", at=now, of="b")
    happen(quiet_house, dict(PROMPT), now)
    found = await look_again(quiet_house)
    assert not {"mine", "theirs"} & set(found)


async def test_a_lost_create_behind_a_crowd_is_looked_for(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await crowd(quiet_house, now - 1)
    await lose(quiet_house, "mine", at=now)
    request_id = happen(quiet_house, dict(PROMPT), now)
    assert (await look_again(quiet_house))["mine"] == request_id
