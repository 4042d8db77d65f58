"""The admin token, as text or in a file."""

from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.web.admin.token import AdminToken


def test_without_a_setting_no_token_is_required_and_none_is_right() -> None:
    token = AdminToken(Settings())
    assert not token.required
    assert not token.admits(b"")


@pytest.mark.parametrize("presented", [b"", b"secre", b"secret ", b"Secret", b"secrett", b"s\xff"])
def test_only_the_very_token_is_admitted(presented: bytes) -> None:
    token = AdminToken(Settings(admin_token="secret"))
    assert token.required
    assert token.admits(b"secret")
    assert not token.admits(presented)


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = AdminToken(Settings(admin_token_file=str(file)))
    assert token.required
    assert token.admits(b"first")
    (tmp_path / "next").write_text("second\n")
    (tmp_path / "next").rename(file)
    assert token.admits(b"second")
    assert not token.admits(b"first")


@pytest.mark.parametrize("content", [None, b"", b"\n "])
def test_a_file_that_holds_no_token_admits_nobody(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    token = AdminToken(Settings(admin_token_file=str(file)))
    assert token.required
    assert not token.admits(b"")
    assert not token.admits(b"\n")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"", "the file is empty"), (b"\n ", "the file is empty")]
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "token"
    token = AdminToken(Settings(admin_token_file=str(file)))
    if content is not None:
        file.write_bytes(content)
    assert token.problem() == f"GATEWAY_ADMIN_TOKEN_FILE {file}: {why}"
    file.write_bytes(b"secret")
    assert token.problem() == ""


def test_a_file_that_goes_away_is_reported_once_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    token = AdminToken(Settings(admin_token_file=str(file)))
    for content in ("canary", None, None, "canary", None):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        assert token.admits(b"canary") == (content is not None)
    assert [record.getMessage() for record in caplog.records] == ["admin token cannot be read"] * 2
    assert "canary" not in caplog.text


def test_a_session_holds_for_its_time_and_its_token_alone() -> None:
    token, other = AdminToken(Settings(admin_token="canary")), AdminToken(Settings(admin_token="another"))
    session = token.sign(1000)
    assert "canary" not in session
    assert token.admits_session(session, 999.9)
    assert not token.admits_session(session, 1000.0)
    assert not token.admits_session(session.replace("1000", "9000"), 0.0)
    assert not other.admits_session(session, 0.0)


def test_without_a_token_no_session_holds(tmp_path: Path) -> None:
    for settings in (Settings(), Settings(admin_token_file=str(tmp_path / "missing"))):
        token = AdminToken(settings)
        assert not token.admits_session(token.sign(1000), 0.0)
