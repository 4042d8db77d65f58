import json
from pathlib import Path

from tests.command_line import Shell


def test_a_valid_set_is_counted(shell: Shell) -> None:
    checked = shell.run("check")
    assert (checked.status, checked.err) == (0, "")
    assert checked.out == f"{shell.policies}: 1 team, 1 key, 2 limits, 0 warnings\n"


def test_every_problem_is_named_with_its_place(shell: Shell) -> None:
    broken = shell.policies / "broken.yaml"
    broken.write_text("team: ads\nmodels: {allow: [Veo3]}\nlimit: []\nlimits: [many jobs]\n")
    checked = shell.run("check", str(shell.policies))
    *problems, summary = checked.out.splitlines()
    assert checked.status == 1
    assert [problem.split(": ")[0] for problem in problems] == [f"{broken}:3:1", f"{broken}:4:10"]
    assert summary == f"{shell.policies}: 2 errors, 0 warnings"


def test_a_warning_is_shown_and_does_not_refuse(shell: Shell) -> None:
    (shell.policies / "notes.yml").write_text("team: late\n")
    checked = shell.run("check")
    assert checked.status == 0
    assert f"{shell.policies / 'notes.yml'}:1:1: warning: " in checked.out
    assert checked.out.endswith("1 warning\n")


def test_one_file_can_be_checked(shell: Shell) -> None:
    file = shell.policies / "films.yaml"
    assert shell.run("check", str(file)).out == f"{file}: 1 team, 1 key, 2 limits, 0 warnings\n"


def test_what_cannot_be_read_is_status_2(shell: Shell, tmp_path: Path) -> None:
    checked = shell.run("check", str(tmp_path / "nowhere"))
    assert (checked.status, checked.err) == (2, "")
    assert f"{tmp_path / 'nowhere'}:1:1: cannot be read" in checked.out
    spoken = shell.run("check", str(tmp_path / "nowhere"), "--format", "json")
    assert (spoken.status, json.loads(spoken.out)["valid"]) == (2, False)


def test_the_sample_policies_are_valid_and_carry_no_key(shell: Shell) -> None:
    sample = Path(__file__).parents[2] / "policies"
    assert shell.run("check", str(sample)).status == 0
    listed = shell.run("keys", "list", "--policies", str(sample), "--format", "json")
    assert json.loads(listed.out) == []


def test_problems_as_json(shell: Shell) -> None:
    valid = shell.run("check", "--format", "json")
    expected = {"valid": True, "problems": []}
    assert (valid.status, json.loads(valid.out)) == (0, expected)
    (shell.policies / "bad.yaml").write_text("team: bad\nnonsense: 1\n")
    spoken = json.loads(shell.run("check", "--format", "json").out)
    (problem,) = [each for each in spoken["problems"] if each["severity"] == "error"]
    assert (spoken["valid"], problem["line"], problem["column"], problem["name"]) == (False, 2, 1, None)
    assert problem["file"].endswith("bad.yaml")
    assert "nonsense" in problem["message"]
