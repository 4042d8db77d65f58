from pathlib import Path

from gateway.policies import load

TEAM = "team: a\nmodels: {allow: [Veo3]}\n"


def test_good_files_give_policies_and_their_version(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEAM)
    loaded = load(tmp_path)
    assert loaded.policy is not None
    assert list(loaded.policy.teams) == ["a"]
    assert len(loaded.policy.version) == 64
    assert (loaded.problems, loaded.readable) == ((), True)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + TEAM.replace("\n", "\r\n").encode())
    assert load(tmp_path).problems == ()


def test_a_wrong_file_is_readable_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("team: a\nmodls: {}\n")
    loaded = load(tmp_path)
    assert (loaded.policy, loaded.readable) == (None, True)


def test_a_missing_file_is_not_readable(tmp_path: Path) -> None:
    loaded = load(tmp_path / "none")
    assert (loaded.policy, loaded.readable) == (None, False)
    where = "`--policies`, GATEWAY_POLICIES or `check DIR` says where the policies are"
    problem = f"{tmp_path}/none:1:1: cannot be read: No such file or directory; {where}"
    assert list(map(str, loaded.problems)) == [problem]


def test_the_catalogue_is_checked_against(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEAM)
    assert [problem.name for problem in load(tmp_path, frozenset(("Veo4",))).problems] == ["matches-nothing"]
    assert load(tmp_path, frozenset(("Veo3",))).problems == ()


def test_the_state_tells_one_set_from_another_good_or_bad(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(TEAM)
    good = load(tmp_path).state
    file.write_text("x")
    bad = load(tmp_path).state
    file.unlink()
    none = load(tmp_path).state
    file.write_text(TEAM)
    assert load(tmp_path).state == good
    assert len({str(state) for state in (good, bad, none)}) == 3
