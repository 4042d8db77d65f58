from gateway.cli.findings import Verdict, fail, ok, skip, warn


def test_what_is_wrong_comes_with_a_remedy_and_what_is_not_without() -> None:
    assert [each.verdict for each in (ok("a", "b"), skip("a", "b"))] == [Verdict.OK, Verdict.SKIP]
    assert [each.remedy for each in (ok("a", "b"), skip("a", "b"), warn("a", "b", "c"), fail("a", "b", "d"))] == [
        "",
        "",
        "c",
        "d",
    ]
