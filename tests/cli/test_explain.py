import io
import json
from pathlib import Path

import pytest

from tests.command_line import FILMS, Shell
from tests.conftest import REAL_KEY, House

NOT_KNOWN = "So the parameters the model requires, and its own price, are not known here."
TOMORROW = "resets 2026-11-24 00:00 Europe/Berlin."
NEXT_MONTH = "resets 2026-12-01 00:00 Europe/Berlin."
FILM = {"prompt": "a lighthouse", "durationSeconds": "8"}


@pytest.fixture
def payload(shell: Shell) -> str:
    """A file with a payload, in a shell whose policies price it."""
    (shell.policies / "prices.yaml").write_text(
        "prices:\n  - {models: [Veo3], usd: 0.40, per: second, seconds: durationSeconds}\n"
    )
    (shell.policies / "films.yaml").write_text(FILMS.replace('[models, "jobs:read"]', "[models, jobs]"))
    file = shell.policies.parent / "payload.json"
    file.write_text(json.dumps(FILM))
    return str(file)


def test_every_rule_is_shown_with_its_verdict_and_what_is_left(shell: Shell, payload: str) -> None:
    shown = shell.run("explain", "--team", "films", "--model", "Veo3", "--payload", payload)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.splitlines() == [
        "films (key web) asks for Veo3",
        f"  There is no upstream key for the credential 'default' here. {NOT_KNOWN}",
        "  There is no ledger here, so nothing counts as used.",
        "✓ scope           The key 'web' may create jobs.",
        "✓ model           Veo3 is allowed by `Veo3*`.",
        "✓ payload         The payload is judged by the team's rules alone.",
        "✓ price           It costs 8 x 0.40 USD per second = 3.20 USD, by the policy's price for Veo3.",
        f"✓ limit.jobs-day  Takes 1 job: 0 jobs of 10 jobs per day used, 10 jobs left, {TOMORROW}",
        f"✓ limit.money     Takes 3.20 USD: 0.00 USD of 5.00 USD per month used, 5.00 USD left, {NEXT_MONTH}",
        "price: 8 x 0.40 USD per second = 3.20 USD, by the policy's price for Veo3",
        "allowed",
    ]


def test_a_refusal_ends_with_what_the_api_would_say(shell: Shell, payload: str) -> None:
    shown = shell.run("explain", "--team", "films", "--model", "Veo3-Ultra", "--payload", payload)
    assert shown.status == 1
    *_, step, verdict = shown.out.splitlines()
    message = "Team films is denied Veo3-Ultra by `Veo3-Ultra`; GET …/models lists what it may use."
    assert step == f"✗ model  {message}"
    assert verdict == f"refused: 403 model_not_allowed: {message}"
    assert "  Upstream was not asked about a model the team may not use.\n" in shown.out


def test_a_payload_from_stdin_as_json(shell: Shell, payload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(FILM | {"durationSeconds": 20})))
    shown = shell.run("explain", "--team", "films", "--model", "Veo3", "--payload", "-", "--format", "json")
    explained = json.loads(shown.out)
    assert shown.status == 1
    assert (explained["team"], explained["key"], explained["model"]) == ("films", "web", "Veo3")
    assert (explained["allowed"], explained["code"], explained["price"]["usd"]) == (False, "budget_exceeded", 8)
    assert [step["verdict"] for step in explained["steps"] if step["rule"] == "limit.money"] == ["refuse"]


def test_without_a_payload_an_empty_one_is_judged(shell: Shell, payload: str) -> None:
    shown = shell.run("explain", "--team", "films", "--model", "Veo3")
    assert "  No --payload is given, so the payload is judged as empty.\n" in shown.out
    assert shown.out.endswith("has a budget; ask your platform team to add a price.\n")


async def test_what_is_used_comes_from_the_ledger(shell: Shell, house: House) -> None:
    (shell.policies.parent / "payload.json").write_text('{"prompt": "a lighthouse"}')
    payload = str(shell.policies.parent / "payload.json")
    ask = ("explain", "--team", "ads", "--model", "seedream-5.0-lite", "--payload", payload)
    shown = await shell.run_beside(*ask)
    assert shown.status == 0
    assert "Takes 1 job: 2 jobs of 3 jobs per day used, 1 job left" in shown.out
    assert "Takes 0.035 USD: 0.07 USD of 1.00 USD per month used, 0.93 USD left" in shown.out
    await house.client("ads-key").create("seedream-5.0-lite")
    assert (await shell.run_beside(*ask)).status == 1


async def test_the_detail_is_the_one_the_gateway_kept_where_there_is_no_key(shell: Shell, house: House) -> None:
    shown = await shell.run_beside("explain", "--team", "ads", "--model", "seedream-5.0-lite")
    assert "The model's detail is the one the gateway kept at 20" in shown.out
    assert "✗ payload  `prompt` is missing: the model requires it." in shown.out


async def test_the_detail_is_upstreams_own_where_there_is_a_key(shell: Shell, upstream: str, payload: str) -> None:
    shell.environment |= {"GATEWAY_UPSTREAM_URL": upstream, "GMI_API_KEY": REAL_KEY}
    shown = await shell.run_beside("explain", "--team", "films", "--model", "Veo3-Fast", "--payload", payload)
    assert "The model's detail is upstream's of now." in shown.out
    assert "price: 8 x 0.15 USD per second = 1.20 USD, by the model's price_info" in shown.out
    assert REAL_KEY not in shown.out + shown.err


def test_an_expired_key_is_pointed_out(shell: Shell, payload: str) -> None:
    shell.run("keys", "new", "films", "--name", "old", "--expires", "1h")
    shell.now += 3600
    shown = shell.run("explain", "--team", "films", "--key", "old", "--model", "Veo3", "--payload", payload)
    assert "  The key 'old' has expired: every call with it is refused, whatever stands below.\n" in shown.out


def test_a_team_without_keys_can_be_asked_about(shell: Shell, payload: str) -> None:
    shell.run("keys", "revoke", "films", "--name", "web")
    shown = shell.run("explain", "--team", "films", "--model", "Veo3", "--payload", payload)
    assert shown.out.startswith("films (key any) asks for Veo3\n")
    assert shown.status == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--team", "flims"), "there is no team `flims`; did you mean `films`?"),
        (("--team", "films", "--key", "wep"), "films has no key `wep`; did you mean `web`?"),
        (("--team", "films", "--payload", "/nowhere"), "--payload /nowhere: No such file or directory"),
        (
            ("--team", "films", "--payload", '{"prompt": "canary"}'),
            "--payload takes the name of a file, or `-` for stdin, and not the JSON itself",
        ),
    ],
)
def test_what_cannot_be_explained_is_status_2(shell: Shell, arguments: tuple[str, ...], why: str) -> None:
    shown = shell.run("explain", "--model", "Veo3", *arguments)
    assert (shown.status, shown.out, shown.err) == (2, "", f"gmi-gateway explain: {why}\n")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": 1, "a": 2}', "`a` stands twice in one object."),
        (b"[1]", "`payload` must be an object"),
        (b"null", "`payload` must be an object"),
        (b"\xff", "this is not UTF-8 text"),
        (b'{"a": NaN}', "The body is not JSON: NaN is not a number."),
        (b"[" * 5000, "Arrays and objects stand in one another more than"),
        (b'{"a": ' + b"1" * 5000 + b"}", "The body holds "),
        (b'{}, "model": "Veo3-Ultra"', "The payload is not JSON: Extra data at line 1, column 3."),
        (b'{"a": 1,\n "b": }', "The payload is not JSON: Expecting value at line 2, column 7."),
        (b" \n", "The payload is empty; write {{}} for one without parameters."),
        (
            b'{"model": "Veo3", "payload": {}}',
            "This is a whole create; give the object under its `payload` alone.",
        ),
    ],
)
def test_a_payload_is_read_as_strictly_as_by_the_api(shell: Shell, tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(content)
    shown = shell.run("explain", "--team", "films", "--model", "Veo3", "--payload", str(file))
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith(f"gmi-gateway explain: --payload {file}: {why.format()}")


def test_a_ledger_that_cannot_be_read_is_status_2(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"a text, not a database" * 100)
    shown = shell.run("explain", "--team", "films", "--model", "Veo3")
    assert (shown.status, shown.out) == (2, "")
    assert "gateway.db cannot be read" in shown.err
