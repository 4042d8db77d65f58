import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.access import caller_again, check_expiry, check_scope, is_model_id, matches, may_call, may_use
from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller, Key, PolicySet, Scope, Team

TEAM = Team("marketing", allow=("Veo3*", "Kling-*-V2.1-Master"), deny=("Veo3-Ultra",))


@pytest.mark.parametrize(
    ("glob", "model", "same"),
    [
        ("Veo3", "Veo3", True),
        ("Veo3", "veo3", False),
        ("Veo3", "Veo3-Fast", False),
        ("Veo3*", "Veo3", True),
        ("Veo3*", "Veo3-Fast", True),
        ("*", "anything at all", True),
        ("Kling-*-V2.1-Master", "Kling-Image2Video-V2.1-Master", True),
        ("Kling-*-V2.1-Master", "Kling-Image2Video-V2x1-Master", False),
        ("veo?", "veo3", True),
        ("veo?", "veo", False),
        ("a[bc]", "ab", False),
        ("a[bc]", "a[bc]", True),
        ("a*b*c", "a--b--b--c", True),
        ("a*b*c", "a--c--b", False),
        ("Veo3", "Veo3\n", False),
        ("*", "two\nlines", True),
        ("", "", True),
    ],
)
def test_a_glob_is_the_whole_id(glob: str, model: str, *, same: bool) -> None:
    assert matches((glob,), model) is same


def test_no_glob_matches_nothing() -> None:
    assert not matches((), "")
    assert not matches((), "Veo3")


@given(st.lists(st.text(alphabet="ab*?[].", max_size=6), min_size=1), st.text(alphabet="ab[].", max_size=8))
def test_globs_together_match_what_one_of_them_does(globs: list[str], model: str) -> None:
    assert matches(tuple(globs), model) == any(matches((glob,), model) for glob in globs)


@given(st.text(max_size=20))
def test_an_id_matches_itself(model: str) -> None:
    assert matches((model.replace("*", "?"),), model)


def test_a_glob_of_many_stars_is_quick_on_a_long_id() -> None:
    assert not matches(("*a" * 20 + "b",), "a" * 8192)


def test_allowed_models_say_by_what() -> None:
    assert may_use(TEAM, "Veo3-Fast") == (True, "Veo3-Fast is allowed by `Veo3*`.")


def test_deny_wins() -> None:
    why = "Team marketing is denied Veo3-Ultra by `Veo3-Ultra`; GET …/models lists what it may use."
    assert may_use(TEAM, "Veo3-Ultra") == (False, why)


def test_what_is_not_allowed_is_refused() -> None:
    allowed, text = may_use(TEAM, "seedance-2-0")
    assert not allowed
    assert text == "Team marketing is not allowed seedance-2-0; GET …/models lists what it may use."


def test_a_team_without_allow_may_use_nothing() -> None:
    assert not may_use(Team("empty"), "Veo3")[0]


@pytest.mark.parametrize(
    "model",
    [
        "",
        "veo3",
        "Veo3 ",
        " Veo3",
        "Veo3\u0000",
        "Veo3\n",
        "Veo3\u200b",
        "\uff36eo3",
        "Veo3\uff0dFast",
        "Veo3" + unicodedata.normalize("NFD", "é"),
        "Veo3" + "x" * 253,
    ],
)
def test_az4_nothing_that_could_be_read_as_an_allowed_id_is_one(model: str) -> None:
    allowed, text = may_use(TEAM, model)
    assert not allowed
    assert len(text) < 400


@pytest.mark.parametrize("model", ["Veo3", "GPT Image 2", "63729242-0000-4000-8000-000000000000", "x" * 256])
def test_ids_as_upstream_has_them_are_ids(model: str) -> None:
    assert is_model_id(model)


@given(st.text(max_size=12), st.lists(st.text(alphabet="aV*?", max_size=4)), st.text(alphabet="aV*?", max_size=4))
def test_denying_more_never_allows_more(model: str, deny: list[str], more: str) -> None:
    before = may_use(Team("t", allow=("*",), deny=tuple(deny)), model)[0]
    after = may_use(Team("t", allow=("*",), deny=(*deny, more)), model)[0]
    assert before or not after


@pytest.mark.parametrize(
    ("scopes", "asked", "may"),
    [
        ({Scope.JOBS}, Scope.JOBS, True),
        ({Scope.JOBS}, Scope.JOBS_READ, True),
        ({Scope.JOBS_READ}, Scope.JOBS_READ, True),
        ({Scope.JOBS_READ}, Scope.JOBS, False),
        ({Scope.MODELS}, Scope.JOBS_READ, False),
        (set(), Scope.UPLOADS, False),
    ],
)
def test_scopes(scopes: set[Scope], asked: Scope, *, may: bool) -> None:
    assert may_call(Key("web", "", scopes=frozenset(scopes)), asked) is may


def test_a_call_the_scopes_do_not_cover_is_refused_by_the_keys_name() -> None:
    reader = Key("reader", "", scopes=frozenset((Scope.JOBS_READ,)))
    check_scope(reader, Scope.JOBS_READ)
    with pytest.raises(Refusal) as caught:
        check_scope(reader, Scope.UPLOADS)
    assert (caught.value.code, caught.value.status) == (Code.SCOPE_DENIED, 403)
    asked = "ask your platform team for one that has it."
    assert caught.value.message == f"The key 'reader' lacks the scope 'uploads'; {asked}"


def test_a_key_expires_at_its_instant() -> None:
    key = Key("main", "", expires=1000.0)
    check_expiry(key, 999.999)
    check_expiry(Key("main", ""), 1e12)
    with pytest.raises(Refusal) as refusal:
        check_expiry(key, 1000.0)
    assert refusal.value.code is Code.KEY_EXPIRED
    assert "'main'" in refusal.value.message


def policy_with(team: str, expires: float | None = None) -> PolicySet:
    """The key `d` is the team's."""
    return PolicySet({team: Team(team, keys=(Key("new name", "d", expires=expires),))}, {})


def test_a_caller_is_who_the_present_policy_says_it_is() -> None:
    again = caller_again(policy_with("marketing"), Caller(TEAM, Key("web", "d")), 0.0)
    assert (again.team.allow, again.key.name) == ((), "new name")


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (PolicySet({}, {}), Code.KEY_INVALID),
        (policy_with("other"), Code.KEY_INVALID),
        (policy_with("marketing", expires=1000.0), Code.KEY_EXPIRED),
    ],
)
def test_au8_nobody_is_a_caller_again_whose_key_is_not_good_any_more(policy: PolicySet, code: Code) -> None:
    with pytest.raises(Refusal) as refusal:
        caller_again(policy, Caller(TEAM, Key("web", "d")), 1000.0)
    assert refusal.value.code is code
