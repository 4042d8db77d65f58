import gzip
import io
import json
import logging
from pathlib import Path

import pytest

from tests.cli.golden_files import Golden, goldens, shown
from tests.command_line import Shell
from tests.conftest import OpenHouse, Q, team

TRUNCATED = gzip.compress(b"x" * 1000, mtime=0)[:-9]
LOGS = {golden.name: golden for golden in goldens("replay")}


@pytest.fixture
def log(shell: Shell, tmp_path: Path) -> Path:
    """A log and policies that refuse two of its creates."""
    policies, text = LOGS["budget"].parts
    (shell.policies / "films.yaml").write_text(policies)
    (tmp_path / "access.log").write_text(text)
    return tmp_path / "access.log"


@pytest.mark.parametrize("golden", LOGS.values(), ids=repr)
def test_who_would_now_be_refused_and_why(shell: Shell, tmp_path: Path, golden: Golden) -> None:
    policies, text = golden.parts
    (shell.policies / "films.yaml").write_text(policies)
    (tmp_path / "access.log").write_text(text)
    assert shown(shell.run("replay", str(tmp_path / "access.log"))) == golden.expected


def test_as_json(shell: Shell, log: Path) -> None:
    outcome = shell.run("replay", str(log), "--format", "json")
    spoken = json.loads(outcome.out)
    assert outcome.status == 1
    assert (spoken["creates"], spoken["refused"]) == (6, {"creates": 2, "usd": 4.28})
    assert [(row["team"], row["code"], row["limit"], row["creates"], row["usd"]) for row in spoken["by_reason"]] == [
        ("films", "budget_exceeded", "money", 1, 4),
        ("films", "model_not_allowed", None, 1, 0.28),
    ]
    assert (spoken["allowed_now"], spoken["not_judged"], spoken["unread"]) == ({"films": 1}, {"payload_rejected": 1}, 1)


def test_gzip_and_stdin_are_read_alike(shell: Shell, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = shell.run("replay", str(log)).out
    packed = log.with_suffix(".gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert shell.run("replay", str(packed)).out == plain
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(packed.read_bytes()))))
    assert shell.run("replay", "-").out == plain


def test_what_anybody_may_have_written_moves_no_terminal(shell: Shell, log: Path) -> None:
    line = '{"time":"2026-11-23T10:00:00Z","method":"POST","route":"/requests","key":"k","team":"%s","model":"%s",%s}\n'
    hostile = (
        line % ("films", r"\u001b[2JVeo3", '"status":200,"usd":1'),
        line % (r"\u001b]0;x\u0007films", "Veo3", '"status":200,"usd":1'),
        line % ("films", r"Ve\ud800", '"status":200'),
        line % ("films", "Veo3", r'"status":599,"code":"\u001b[31mX"'),
        line % ("films", "Veo3", '"status":200,"x":' + "[" * 200_000 + "]" * 200_000),
    )
    log.write_text("".join(hostile) + log.read_text())
    outcome = shell.run("replay", str(log))
    assert outcome.status == 1
    assert all(letter.isprintable() for letter in outcome.out.replace("\n", ""))
    assert "?[31mX 1" in outcome.out
    assert "?]0;x?films" in outcome.out
    assert "Lines that are none of an access log: 3." in outcome.out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no access line: give it what the gateway writes to stdout"),
        (b"gateway is up\n{}\n", "holds no access line: give it what the gateway writes to stdout"),
        (
            TRUNCATED,
            "cannot be read: Compressed file ended before the end-of-stream marker",
        ),
    ],
)
def test_what_is_no_log_is_status_2(shell: Shell, tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "access.log"
    if content is not None:
        file.write_bytes(content)
    outcome = shell.run("replay", str(file))
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"gmi-gateway replay: {file} {why}")


async def test_the_gateways_own_log_before_its_own_policies_refuses_nothing_and_before_others_what_they_would(
    shell: Shell, open_house: OpenHouse, tmp_path: Path
) -> None:
    """Creates, one repeat, one refusal and two ends, as the gateway itself writes them down."""
    limits = "limits: [3 jobs per day, 20 USD per month, 2 jobs at once]"
    house = await open_house({"a.yaml": team("a", "key", limits)}, access_log="on", log_format="json")
    client = house.client("key")
    for number in range(3):
        made = await client.create(headers={"Idempotency-Key": str(number)})
        assert made.status_code == 200
        path = f"{Q}/requests/{made.json()['request_id']}?"

        async def has_ended(path: str = path) -> bool:
            return bool((await client.get(path)).json()["status"] == "success")

        await house.eventually(has_ended)
    assert (await client.create(headers={"Idempotency-Key": "2"})).headers["idempotency-replayed"] == "true"
    assert (await client.create()).status_code == 429
    await house.gw.tasks.finish(5)
    house.gw.access_log.flush()
    logging.getLogger().handlers[0].flush()
    written = shell.capsys.readouterr()
    logs = [str(tmp_path / "access.log"), str(tmp_path / "events.log")]
    (tmp_path / "access.log").write_text(written.out)
    (tmp_path / "events.log").write_text(written.err)
    (shell.policies / "films.yaml").unlink()

    same = await shell.run_beside("replay", *logs)
    (shell.policies / "a.yaml").write_text(team("a", "key", limits.replace("20 USD", "7 USD")))
    less = await shell.run_beside("replay", *logs, "--format", "json")

    assert same.status == 0, same.out
    assert "refused then, allowed now: 0; refused then and now: 1" in same.out
    spoken = json.loads(less.out)
    assert (less.status, spoken["creates"], spoken["refused"]) == (1, 4, {"creates": 1, "usd": 3.2})
    assert spoken["by_reason"][0]["code"] == "budget_exceeded"
