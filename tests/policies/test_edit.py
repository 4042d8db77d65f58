"""Keys come and go in a team's file; every other character of it stays."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.edit import (
    EditError,
    KeyEntry,
    add_key,
    find_team_file,
    key_snippet,
    list_keys,
    revoke_key,
    rewrite,
)
from tests.policy_texts import policy

A, B, C = "a" * 64, "b" * 64, "c" * 64

BLOCK = f"""\
# Launch films
team: marketing   # as in the budget

keys:   # ask Ana before you add one
  # the shop's
  - name: web
    hash: sha256:{A}
    expires: 2027-01-01   # with the contract
  # the app's
  - hash: "sha256:{B}"   # odd order
    name: app
    scopes:
      - models

models: {{allow: [Veo3]}}  # one is enough
"""

INLINE = f"""\
team: a
keys: [{{name: web, hash: sha256:{A}}}, {{name: app, hash: sha256:{B}}}]  # two
models: {{allow: [Veo3]}}
"""


def names(text: str) -> list[str]:
    return [entry.name for entry in list_keys(text)]


def test_keys_are_listed_as_they_stand() -> None:
    assert list_keys(BLOCK) == (
        KeyEntry("web", f"sha256:{A}", "2027-01-01", 6),
        KeyEntry("app", f"sha256:{B}", None, 10),
    )
    assert list_keys("team: a\n") == ()


def test_a_key_is_added_after_the_others() -> None:
    added = add_key(BLOCK, "batch", C, "2027-06-30")
    lines = f"\n  - name: batch\n    hash: sha256:{C}\n    expires: 2027-06-30"
    assert added == BLOCK.replace("      - models", f"      - models{lines}")
    assert {key.name for key in policy(added).teams["marketing"].keys} == {"web", "app", "batch"}


def test_a_key_is_added_to_a_list_in_brackets() -> None:
    added = add_key(INLINE, "batch", C)
    assert added == INLINE.replace(f"{B}}}]", f"{B}}}, {{name: batch, hash: sha256:{C}}}]")


def test_a_key_is_added_in_braces_where_the_others_are() -> None:
    text = f"team: a\nkeys:\n- {{name: web, hash: sha256:{A}}} # first\ntimezone: UTC\n"
    first = f"{A}}} # first"
    assert add_key(text, "app", B) == text.replace(first, f"{first}\n- {{name: app, hash: sha256:{B}}}")


@pytest.mark.parametrize("nothing", ["keys: []", "keys:", "keys: ~", "keys: [ ]", "keys: null"])
def test_a_first_key_is_added_to_an_empty_list(nothing: str) -> None:
    added = add_key(f"team: a\n{nothing}  # none yet\nmodels: {{allow: [Veo3]}}\n", "web", A)
    assert added.splitlines()[1:4] == ["keys:  # none yet", "  - name: web", f"    hash: sha256:{A}"]


def test_a_first_key_is_added_where_there_is_no_list() -> None:
    text = "# top\nteam: a\ntimezone: UTC # here\n\n# what it may use\nmodels: {allow: [Veo3]}\n"
    assert add_key(text, "web", A) == text.replace("# here\n", f"# here\nkeys:\n  - name: web\n    hash: sha256:{A}\n")


def test_a_first_key_is_added_to_a_file_without_a_last_line_end() -> None:
    assert add_key("team: a", "web", A) == f"team: a\nkeys:\n  - name: web\n    hash: sha256:{A}\n"


def test_windows_line_ends_stay() -> None:
    added = add_key(BLOCK.replace("\n", "\r\n"), "batch", C)
    assert added == add_key(BLOCK, "batch", C).replace("\n", "\r\n")
    assert revoke_key(added, "batch") == BLOCK.replace("\n", "\r\n")


def test_a_key_is_removed_with_its_lines_and_nothing_else() -> None:
    start, end = BLOCK.index("  - name: web"), BLOCK.index("  # the app's")
    assert revoke_key(BLOCK, "web") == BLOCK[:start] + BLOCK[end:]
    start, end = BLOCK.index("  - hash"), BLOCK.index("\nmodels:")
    assert revoke_key(BLOCK, "app") == BLOCK[:start] + BLOCK[end:]


def test_the_last_key_leaves_an_empty_list() -> None:
    left = revoke_key(revoke_key(BLOCK, "web"), "app")
    assert "keys: []   # ask Ana before you add one\n  # the shop's\n  # the app's\n\nmodels" in left
    assert policy(left).teams["marketing"].keys == ()
    assert names(add_key(left, "new", C)) == ["new"]


def test_a_key_is_removed_from_a_list_in_brackets() -> None:
    assert f"keys: [{{name: app, hash: sha256:{B}}}]  # two" in revoke_key(INLINE, "web")
    assert f"keys: [{{name: web, hash: sha256:{A}}}]  # two" in revoke_key(INLINE, "app")
    assert "keys: []  # two" in revoke_key(revoke_key(INLINE, "app"), "web")


def test_a_trailing_comma_and_a_dash_above_its_item_are_yaml_too() -> None:
    text = f"team: a\nkeys: [\n  {{name: web, hash: sha256:{A}}},  # w - first\n]\n"
    assert names(add_key(text, "app", B)) == ["web", "app"]
    assert revoke_key(text, "web") == "team: a\nkeys: []\n"
    text = f"team: a\nkeys:\n  - name: web\n    hash: sha256:{A}\n  - # second\n    name: app\n    hash: sha256:{B}\n"
    assert revoke_key(text, "app") == f"team: a\nkeys:\n  - name: web\n    hash: sha256:{A}\n"


@given(
    before=st.lists(st.sampled_from("abcd"), unique=True, max_size=4),
    style=st.sampled_from(["block", "flow", "braces"]),
    blank=st.sampled_from(["", "\n", "  # why\n", "\n# - name: x\n\n"]),
    end=st.sampled_from(["", "\n", "\nmodels: {allow: ['*']}\n"]),
)
def test_what_is_added_and_removed_again_leaves_the_keys_as_they_were(
    before: list[str], style: str, blank: str, end: str
) -> None:
    entries = {
        "block": [f"\n  - name: {name}\n    hash: sha256:{name * 64}{blank.rstrip()}" for name in before],
        "braces": [f"\n- {{hash: sha256:{name * 64}, name: {name}}}" for name in before],
        "flow": [", ".join(f"{{name: {name}, hash: sha256:{name * 64}}}" for name in before)],
    }[style]
    listed = f" [{entries[0]}]" if style == "flow" else "".join(entries)
    text = f"team: t\nkeys:{listed if before else ' []'}{end}"
    added = add_key(text, "new", C)
    assert names(added) == [*before, "new"]
    removed = revoke_key(added, "new")
    assert list_keys(removed) == list_keys(text)
    if before and end.startswith("\n"):
        assert removed == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("web", C), "the team has a key `web` already"),
        (("a: b", C), "'a: b' is not a name"),
        (("x\n", C), "is not a name"),
        (("x", "abc"), "64 hexadecimal digits"),
        (("x", C, "soon"), "the expiry must be a date"),
    ],
)
def test_what_cannot_be_added_says_why(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(EditError, match=message):
        add_key(BLOCK, *arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unpriced: free\n", "defines no team"),
        ("team: [a\n", "correct the file first, it cannot be read as it is: line:2:1"),
        ("- a\n", "correct the file first, it cannot be read as it is: it is no table"),
        ("{team: a}\n", "add the key by hand"),
        ("team: a\nkeys: {web: 5}\n", "its `keys` is no list"),
        ("team: a\nkeys:\n  - &x {name: web}\n", "correct the file first"),
        ("team: |\n  a\n  b\n \ntimezone: >\n  x", "change its `keys` by hand"),
    ],
)
def test_a_file_that_cannot_be_edited_is_left_alone(text: str, message: str) -> None:
    with pytest.raises(EditError, match=message):
        add_key(text, "x", C)


def test_a_key_that_is_not_there_cannot_be_revoked() -> None:
    for text in (BLOCK, "team: a\n", "team: a\nkeys: []\n", "team: a\nkeys: [x]\n"):
        with pytest.raises(EditError, match="the team has no key `none`"):
            revoke_key(text, "none")


def test_a_snippet_is_what_would_be_added() -> None:
    assert key_snippet("web", A) == f"- name: web\n  hash: sha256:{A}"
    assert key_snippet("web", A, "2027-01-01").endswith("\n  expires: 2027-01-01")


def test_a_teams_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("team: [")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "m.yaml").write_text(BLOCK)
    assert find_team_file(tmp_path, "marketing") == tmp_path / "teams" / "m.yaml"
    with pytest.raises(EditError, match=r"no file in .* defines the team `sales`"):
        find_team_file(tmp_path, "sales")


def test_a_file_is_replaced_at_once_with_its_mode_and_mark_kept(tmp_path: Path) -> None:
    file, link = tmp_path / "m.yaml", tmp_path / "link.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + BLOCK.encode())
    file.chmod(0o640)
    link.symlink_to("m.yaml")
    was = file.stat().st_ino
    rewrite(link, lambda text: add_key(text, "batch", C))
    assert file.read_bytes() == b"\xef\xbb\xbf" + add_key(BLOCK, "batch", C).encode()
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.stat().st_ino != was
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "m.yaml"]


def test_a_refused_edit_leaves_the_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(BLOCK)
    with pytest.raises(EditError):
        rewrite(file, lambda text: revoke_key(text, "none"))

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        rewrite(file, lambda text: revoke_key(text, "web"))
    assert file.read_text() == BLOCK
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]
