import json
import stat
from pathlib import Path

import pytest

from gateway.cli.expiry import FORMS
from gateway.core.keys import digest
from gateway.core.policy import Scope
from gateway.policies import load
from tests.command_line import FILMS, NOW, Shell
from tests.core.test_keys import is_well_formed

FOLLOWED = "gateways that read this folder take it within 2 s"


def films(shell: Shell) -> Path:
    return shell.policies / "films.yaml"


def test_new_prints_the_key_alone_and_keeps_only_its_hash(shell: Shell) -> None:
    made = shell.run("keys", "new", "films", "--name", "batch")
    key = made.out.removesuffix("\n")
    assert made.status == 0
    assert is_well_formed(key)
    text = films(shell).read_text()
    assert f"  - name: batch\n    hash: sha256:{digest(key)}\n" in text
    assert key not in text + made.err
    assert made.err.splitlines() == [
        f"key `batch` of films, without expiry, added to {films(shell)}: {FOLLOWED}",
        "this is the only time the key is shown:",
    ]


def test_new_keeps_every_other_line_and_the_files_mode(shell: Shell) -> None:
    films(shell).chmod(0o640)
    shell.run("keys", "new", "films", "--name", "batch")
    added = [line for line in films(shell).read_text().splitlines() if line not in FILMS.splitlines()]
    assert [line.split(":")[0] for line in added] == ["  - name", "    hash"]
    assert set(FILMS.splitlines()) <= set(films(shell).read_text().splitlines())
    assert stat.S_IMODE(films(shell).stat().st_mode) == 0o640


def test_two_keys_are_never_the_same(shell: Shell) -> None:
    assert shell.run("keys", "new", "films", "--name", "a").out != shell.run("keys", "new", "films", "--name", "b").out


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("90d", "2027-02-21T12:00:00Z"),
        ("2027-01-01", "2027-01-01"),
        ("2027-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_an_expiry_is_written_as_a_date_or_an_instant(shell: Shell, given: str, written: str) -> None:
    made = shell.run("keys", "new", "films", "--name", "batch", "--expires", given)
    assert made.status == 0
    assert f"    expires: {written}\n" in films(shell).read_text()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("2026-11-01", "--expires 2026-11-01 is in the past: the key would never work"),
        ("tomorrow", f"--expires must be {FORMS}, not `tomorrow`"),
    ],
)
def test_an_expiry_that_is_none_changes_nothing(shell: Shell, given: str, why: str) -> None:
    made = shell.run("keys", "new", "films", "--name", "batch", "--expires", given)
    assert (made.status, made.out, made.err) == (2, "", f"gmi-gateway keys: {why}\n")
    assert films(shell).read_text() == FILMS


def test_print_shows_the_lines_on_stdout_the_key_on_stderr_and_leaves_the_file(shell: Shell) -> None:
    options = ("--print", "--expires", "2027-01-01", "--scopes", "models,jobs:read")
    made = shell.run("keys", "new", "films", "--name", "batch", *options)
    first, second = made.err.splitlines()
    key = first.removeprefix("a key for films, shown this once: ")
    assert is_well_formed(key)
    assert second == "paste these lines under the `keys:` of its file:"
    assert made.out.splitlines() == [
        "- name: batch",
        f"  hash: sha256:{digest(key)}",
        "  expires: 2027-01-01",
        "  scopes: [models, jobs:read]",
    ]
    assert films(shell).read_text() == FILMS
    taken = shell.run("keys", "new", "films", "--name", "web", "--print")
    assert (taken.status, taken.out) == (2, "")
    assert taken.err == "gmi-gateway keys: films has a key `web` already: choose another name\n"


def test_scopes_are_written_as_given(shell: Shell) -> None:
    made = shell.run("keys", "new", "films", "--name", "batch", "--scopes", "models, jobs:read")
    assert made.status == 0
    loaded = load(shell.policies)
    assert loaded.policy is not None
    assert loaded.policy.teams["films"].keys[1].scopes == {Scope.MODELS, Scope.JOBS_READ}


@pytest.mark.parametrize(
    ("given", "why"), [("model", "`model` is no scope; use `models`, "), (",", "must name at least one of `models`, ")]
)
def test_scopes_that_are_none_are_said(shell: Shell, given: str, why: str) -> None:
    made = shell.run("keys", "new", "films", "--name", "batch", "--scopes", given)
    assert (made.status, made.out) == (2, "")
    assert f"argument --scopes: {why}" in made.err
    assert films(shell).read_text() == FILMS


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("new", "flims", "--name", "a"), "there is no team `flims`; did you mean `films`?"),
        (("revoke", "films", "--name", "wep"), "films has no key `wep`; did you mean `web`?"),
        (("rotate", "films", "--name", "nobody"), "films has no key `nobody`; there is `web`"),
        (
            ("new", "films", "--name", "web"),
            "the team has a key `web` already: choose another name, or revoke that one first",
        ),
    ],
)
def test_what_does_not_fit_is_said_and_changes_nothing(shell: Shell, arguments: tuple[str, ...], why: str) -> None:
    made = shell.run("keys", *arguments)
    assert (made.status, made.out, made.err) == (2, "", f"gmi-gateway keys: {why}\n")
    assert films(shell).read_text() == FILMS


def test_a_set_that_is_not_valid_is_not_edited(shell: Shell) -> None:
    other = shell.policies / "other.yaml"
    other.write_text("team: other\nmodels: {allow: [Veo3]}\nlimits: [nonsense]\n")
    made = shell.run("keys", "new", "films", "--name", "batch")
    assert (made.status, made.out) == (2, "")
    assert f"{other}:3:10: " in made.err
    assert films(shell).read_text() == FILMS


def test_an_edit_that_would_not_validate_is_not_written(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.keys.add_key", lambda text, *_: text + "limit: 1 job per day\n")
    made = shell.run("keys", "new", "films", "--name", "batch")
    assert (made.status, made.out) == (2, "")
    assert made.err.startswith("gmi-gateway keys: nothing was changed: the policies would not be valid\n")
    assert f"{films(shell)}:13:1: " in made.err
    assert films(shell).read_text() == FILMS


def test_rotate_adds_a_key_with_the_same_scopes_and_ends_the_old_one(shell: Shell) -> None:
    made = shell.run("keys", "rotate", "films", "--name", "web", "--overlap", "2d")
    key = made.out.removesuffix("\n")
    loaded = load(shell.policies)
    assert loaded.policy is not None
    old, new = loaded.policy.teams["films"].keys
    assert (old.name, old.expires) == ("web", NOW + 2 * 86400)
    assert (new.name, new.digest, new.expires, new.scopes) == ("web-2", digest(key), None, old.scopes)
    assert "  - name: web # the web app\n" in films(shell).read_text()
    assert made.err.splitlines()[:2] == [
        f"key `web-2` of films, without expiry, added to {films(shell)}: {FOLLOWED}",
        "the old key `web` works until 2026-11-25T12:00:00Z",
    ]


def test_rotating_a_key_with_every_scope_names_none(shell: Shell) -> None:
    shell.run("keys", "new", "films", "--name", "batch")
    shell.run("keys", "rotate", "films", "--name", "batch")
    assert films(shell).read_text().count("scopes:") == 1


def test_a_key_that_was_replaced_is_not_rotated_again_but_its_successor_is(shell: Shell) -> None:
    shell.run("keys", "rotate", "films", "--name", "web", "--overlap", "1d")
    text = films(shell).read_text()
    again = shell.run("keys", "rotate", "films", "--name", "web", "--expires", "never")
    assert (again.status, again.out) == (2, "")
    assert again.err == "gmi-gateway keys: `web` was already replaced by `web-2`: rotate that\n"
    assert films(shell).read_text() == text
    assert shell.run("keys", "rotate", "films", "--name", "web-2", "--overlap", "9d").status == 0
    loaded = load(shell.policies)
    assert loaded.policy is not None
    lives = {key.name: key.expires for key in loaded.policy.teams["films"].keys}
    assert lives == {"web": NOW + 86400, "web-2": NOW + 9 * 86400, "web-3": None}


def test_a_key_that_ends_says_when_its_successor_does_and_is_never_lengthened(shell: Shell) -> None:
    shell.run("keys", "new", "films", "--name", "app-2", "--expires", "3d")
    unsaid = shell.run("keys", "rotate", "films", "--name", "app-2", "--overlap", "9d")
    assert (unsaid.status, unsaid.out) == (2, "")
    assert unsaid.err == (
        "gmi-gateway keys: the key `app-2` expires 2026-11-26T12:00:00Z: "
        "say when the new one does, with `--expires 90d` or `--expires never`\n"
    )
    for given, ends in ("90d", NOW + 90 * 86400), ("never", None):
        shell.run("keys", "new", "films", "--name", f"k{given}", "--expires", "3d")
        made = shell.run("keys", "rotate", "films", "--name", f"k{given}", "--overlap", "9d", "--expires", given)
        assert made.status == 0
        loaded = load(shell.policies)
        assert loaded.policy is not None
        lives = {key.name: key.expires for key in loaded.policy.teams["films"].keys}
        assert (lives[f"k{given}"], lives[f"k{given}-2"]) == (NOW + 3 * 86400, ends)


def test_a_key_that_has_expired_is_not_rotated(shell: Shell) -> None:
    shell.run("keys", "rotate", "films", "--name", "web", "--overlap", "1d")
    shell.now = NOW + 86400
    made = shell.run("keys", "rotate", "films", "--name", "web")
    assert made.err == "gmi-gateway keys: the key `web` has expired: make a new one with `keys new`\n"
    assert made.status == 2


def test_revoke_removes_the_key_and_nothing_else(shell: Shell) -> None:
    shell.run("keys", "new", "films", "--name", "batch")
    revoked = shell.run("keys", "revoke", "films", "--name", "batch")
    assert (revoked.status, revoked.out) == (0, "")
    assert "gateways that read this folder refuse it within 2 s" in revoked.err
    assert films(shell).read_text() == FILMS


def test_list_shows_names_scopes_and_lives_and_never_a_hash(shell: Shell) -> None:
    shell.run("keys", "rotate", "films", "--name", "web", "--overlap", "1d")
    shell.now = NOW + 2 * 86400
    listed = shell.run("keys", "list")
    assert listed.out.splitlines() == [
        "TEAM   KEY    SCOPES            EXPIRES               STATE",
        "films  web    models jobs:read  2026-11-24T12:00:00Z  expired",
        "films  web-2  models jobs:read  never                 active",
    ]
    rows = json.loads(shell.run("keys", "list", "films", "--format", "json").out)
    assert rows[1] == {
        "team": "films",
        "key": "web-2",
        "scopes": ["models", "jobs:read"],
        "expires": None,
        "state": "active",
    }


def test_where_there_is_no_key_that_is_said(shell: Shell) -> None:
    shell.run("keys", "revoke", "films", "--name", "web")
    make = "make one with `gmi-gateway keys new TEAM --name NAME`\n"
    listed = shell.run("keys", "list", "films")
    assert (listed.status, listed.out, listed.err) == (0, "", f"films has no key yet: {make}")
    assert shell.run("keys", "list").err == f"no team has a key yet: {make}"


def test_an_unknown_team_is_told_those_there_are(shell: Shell) -> None:
    listed = shell.run("keys", "list", "marketing")
    assert (listed.status, listed.err) == (2, "gmi-gateway keys: there is no team `marketing`; there is `films`\n")


@pytest.mark.parametrize("action", ["new", "rotate", "revoke", "list"])
def test_each_action_says_what_it_does(shell: Shell, action: str) -> None:
    shown = shell.run("keys", action, "--help")
    assert shown.status == 0
    sentence = shown.out.partition("\n\n")[2].partition("\n\n")[0]
    assert sentence.endswith(".")


def test_a_file_that_cannot_be_written_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(shell.policies))

    monkeypatch.setattr("gateway.policies.edit.tempfile.mkstemp", refuse)
    made = shell.run("keys", "new", "films", "--name", "batch")
    assert (made.status, made.out) == (2, "")
    assert made.err == f"gmi-gateway keys: {shell.policies}: Permission denied\n"


def test_a_rotation_can_be_printed_instead_of_made(shell: Shell) -> None:
    file = shell.policies / "films.yaml"
    before = file.read_text()
    shown = shell.run("keys", "rotate", "films", "--name", "web", "--print", "--overlap", "2d")
    assert (shown.status, file.read_text()) == (0, before)
    name, hashed, scopes = shown.out.splitlines()
    assert (name, scopes) == ("- name: web-2", "  scopes: [models, jobs:read]")
    assert hashed.startswith("  hash: sha256:")
    assert shown.err.endswith("and let the old key `web` end: `expires: 2026-11-25T12:00:00Z`\n")
    key = next(word for word in shown.err.split() if word.startswith("gmigw_"))
    assert digest(key) in hashed
