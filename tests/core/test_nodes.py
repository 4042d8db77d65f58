from gateway.core.nodes import Mark, Problem, Report, Severity, one_of, plain, scalars, show, suggest
from gateway.policies.yaml_nodes import compose


def test_a_problem_reads_as_place_and_message() -> None:
    report = Report()
    report.error(Mark("b.yaml", 2, 3), "wrong")
    report.warn(Mark("a.yaml", 9, 1), "never-used", "odd")
    report.error(Mark("b.yaml", 2, 3), "wrong")
    assert [str(problem) for problem in report.in_order()] == [
        "a.yaml:9:1: warning: odd [never-used]",
        "b.yaml:2:3: wrong",
    ]


def test_warnings_alone_are_no_error() -> None:
    report = Report([Problem("a.yaml", 1, 1, "odd", Severity.WARNING, "x")])
    assert not report.has_errors
    report.error(Mark("a.yaml"), "wrong")
    assert report.has_errors


def test_marks_print_as_editors_open_them() -> None:
    assert str(Mark("a.yaml", 3, 4)) == "a.yaml:3:4"


def test_shown_values_are_short_and_printable_and_never_keys() -> None:
    assert show("5 jobs\n per  day") == "`5 jobs per day`"
    assert show("x" * 61) == f"`{'x' * 60}…`"
    assert show("\x1b[2J") == "`?[2J`"
    assert show("my gmigw_abc") == "`gmigw_…`"
    assert show("  ") == "nothing"


def test_suggestions_do_not_mind_case() -> None:
    assert suggest("usd", ["jobs", "USD"]) == "; did you mean `USD`?"
    assert suggest("xyzzy", ["jobs", "USD"]) == ""


def test_words_are_listed_as_people_do() -> None:
    assert one_of(["a"]) == "`a`"
    assert one_of(["a", "b", "c"]) == "`a`, `b` or `c`"


def test_a_tree_as_plain_values_and_as_scalars() -> None:
    root = compose("a: [1, {b: no}]\nc: true\n", "a.yaml", Report())
    assert root is not None
    assert plain(root) == {"a": [1, {"b": "no"}], "c": True}
    assert [scalar.text for scalar in scalars(root)] == ["a", "1", "b", "no", "c", "true"]
