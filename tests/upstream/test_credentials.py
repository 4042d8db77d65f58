"""Where keys come from, when they change, and that they are never shown."""

import base64
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.policy import Credential, PolicySet, Source, Team
from gateway.upstream.credentials import Credentials, Secret, traces_of


class Clock:
    """A monotonic clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def credentials(*keys: Source, clock: Clock | None = None, **environment: str) -> Credentials:
    """Credentials with the one credential `default`."""
    one = {"default": Credential("default", keys, Source("env", "ORG"))}
    return Credentials(one.get, environment, clock or Clock())


def keys(found: Credentials) -> list[str]:
    """The texts of the keys of `default`."""
    return [key.text for key in found.access("default").keys]


def test_keys_are_read_in_order_and_absent_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    sources = (Source("env", "ABSENT"), Source("file", str(tmp_path / "key")), Source("env", "OLD"))
    found = credentials(*sources, OLD="from-environment", ORG="org-1")
    assert keys(found) == ["from-file", "from-environment"]
    assert found.access("default").organization == Secret("org-1")


def test_an_organisation_that_is_not_set_is_none() -> None:
    assert credentials(Source("env", "KEY"), KEY="k").access("default").organization is None


def test_an_organisation_may_stand_in_the_policy_itself() -> None:
    one = Credential("default", (Source("env", "KEY"),), Source("text", "63729242-0000"))
    assert Credentials(lambda _: one, {"KEY": "k"}).access("default").organization == Secret("63729242-0000")


def test_a_credential_that_the_policy_changes_is_read_anew() -> None:
    named = {"default": Credential("default", (Source("env", "KEY"),))}
    found = Credentials(named.get, {"KEY": "first", "NEXT": "second"})
    assert [keys(found), keys(found)] == [["first"], ["first"]]
    named["default"] = Credential("default", (Source("env", "NEXT"),))
    assert keys(found) == ["second"]
    del named["default"]
    assert keys(found) == []


def test_an_unknown_credential_has_no_key() -> None:
    assert credentials(Source("env", "KEY"), KEY="k").access("other").keys == ()


@pytest.mark.parametrize("text", ["", " ", "a b", "a\r\nX-Evil: 1", "ü", "\x00"])
def test_what_is_no_header_value_is_no_key(text: str) -> None:
    assert keys(credentials(Source("env", "KEY"), KEY=text)) == []


def test_the_default_keys_file_stands_in_for_its_variable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file")
    source = Source("env", "GMI_API_KEY")
    assert keys(credentials(source, GMI_API_KEY_FILE=str(tmp_path / "key"))) == ["from-file"]
    both = credentials(source, GMI_API_KEY_FILE=str(tmp_path / "key"), GMI_API_KEY="from-variable")
    assert keys(both) == ["from-variable"]


def test_up9_a_changed_file_is_read_again_within_seconds(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "key"
    path.write_text("old")
    found = credentials(Source("file", str(path)), clock=clock)
    assert keys(found) == ["old"]
    replacement = tmp_path / "next"
    replacement.write_text("new")
    replacement.rename(path)
    assert keys(found) == ["old"]
    clock.now = 2.5
    assert keys(found) == ["new"]
    path.unlink()
    clock.now = 5.0
    assert keys(found) == []


def test_a_pipe_or_a_huge_file_is_no_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_text("x" * 100_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("pipe", "huge", "binary"):
        assert keys(credentials(Source("file", str(tmp_path / name)))) == []


def test_missing_names_what_a_team_needs_and_where_it_was_looked_for() -> None:
    policies = PolicySet(
        teams={
            "a": Team("a"),
            "b": Team("b", credential="studio"),
            "c": Team("c", credential="dangling"),
            "d": Team("d", credential="fine"),
        },
        credentials={
            "default": Credential("default", (Source("env", "GMI_API_KEY"),)),
            "studio": Credential("studio", (Source("file", "/run/secrets/studio"), Source("env", "STUDIO_OLD"))),
            "fine": Credential("fine", (Source("env", "ABSENT"), Source("env", "KEY"))),
            "unused": Credential("unused", (Source("env", "ABSENT"),)),
        },
    )
    assert credentials(KEY="k").missing(policies) == [
        "credential 'dangling': not defined",
        "credential 'default': no API key: GMI_API_KEY or GMI_API_KEY_FILE is not set",
        "credential 'studio': no API key: /run/secrets/studio: No such file or directory; STUDIO_OLD is not set",
    ]


def test_se1_a_secret_is_not_shown() -> None:
    access = credentials(Source("env", "KEY"), KEY="hush-hush", ORG="org-1").access("default")
    assert "hush" not in f"{access!r} {access!s} {access.keys[0]!r} {access.keys[0]!s}"
    assert "org-1" not in repr(access)


@given(
    st.text(st.characters(codec="ascii", min_codepoint=0x21), min_size=8, max_size=40),
    st.binary(max_size=7),
    st.binary(),
)
def test_se2_a_secret_is_found_in_every_spelling(secret: str, before: bytes, after: bytes) -> None:
    wrapped = before + secret.encode() + after
    for text in (
        wrapped,
        before + quote(secret, safe="").encode() + after,
        base64.b64encode(wrapped),
        base64.urlsafe_b64encode(wrapped),
    ):
        assert any(trace in text for trace in traces_of(secret))


def test_a_word_too_short_for_a_secret_is_in_no_text() -> None:
    assert not traces_of("test")


def test_se2_other_texts_are_left_alone() -> None:
    traces = traces_of("real-upstream-key-0123456789")
    for text in (b"", b"real-upstream-key-012345678", base64.b64encode(b"Bearer other-key-0123456789" * 9)):
        assert not any(trace in text for trace in traces)


def test_a_named_organisation_that_cannot_be_read_is_missing_too() -> None:
    credential = Credential("studio", (Source("text", "key"),), Source("env", "STUDIO_ORG"))
    policies = PolicySet({"a": Team("a", credential="studio")}, {"studio": credential})
    assert Credentials(policies.credentials.get, {}).missing(policies) == [
        "credential 'studio': no organisation: STUDIO_ORG is not set"
    ]
    assert Credentials(policies.credentials.get, {"STUDIO_ORG": "42"}).missing(policies) == []


BOTH = Credential("default", (Source("env", "GMI_API_KEY"),), Source("env", "GMI_ORG_ID", optional=True))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, ": No such file or directory"),
        (b" \n", " is empty"),
        (b"canary key", " holds spaces or other characters that no header may carry"),
        (b"\xff\xfe", " is no small text file"),
    ],
)
def test_what_is_wrong_with_the_key_is_said_and_the_key_is_not(tmp_path: Path, content: bytes | None, why: str) -> None:
    policies = PolicySet({"a": Team("a")}, {"default": BOTH})
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    (problem,) = Credentials(policies.credentials.get, {"GMI_API_KEY_FILE": str(file)}).missing(policies)
    assert problem == f"credential 'default': no API key: GMI_API_KEY_FILE {file}{why}"


def test_a_malformed_key_or_organisation_in_the_environment_is_an_error() -> None:
    policies = PolicySet({"a": Team("a")}, {"default": BOTH})
    why = "holds spaces or other characters that no header may carry"
    environment = {"GMI_API_KEY": "canary b", "GMI_ORG_ID": "canary y"}
    assert Credentials(policies.credentials.get, environment).missing(policies) == [
        f"credential 'default': no API key: GMI_API_KEY {why}",
        f"credential 'default': no organisation: GMI_ORG_ID {why}",
    ]
    for organization in ("", "42"):
        environment = {"GMI_API_KEY": "key", "GMI_ORG_ID": organization}
        assert Credentials(policies.credentials.get, environment).missing(policies) == []
