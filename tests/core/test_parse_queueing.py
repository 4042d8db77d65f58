from gateway.core.access import is_fair
from gateway.core.policy import Queueing
from tests.policy_texts import TEAM, policy, problems


def test_the_first_match_says_whether_a_model_is_fair() -> None:
    found = policy(
        f"{TEAM}queueing:\n  - {{models: [Veo3-Ultra], fair: false}}\n  - {{models: ['Veo3*', Kling], fair: true}}\n"
    )
    assert found.queueing == (Queueing(("Veo3-Ultra",), fair=False), Queueing(("Veo3*", "Kling"), fair=True))
    fair = {model: is_fair(found, model) for model in ("Veo3", "Veo3-Ultra", "Kling", "kling", "Sora")}
    assert fair == {"Veo3": True, "Veo3-Ultra": False, "Kling": True, "kling": False, "Sora": False}
    assert not is_fair(policy(TEAM), "Veo3")


def test_an_entry_says_for_which_models_and_what() -> None:
    assert problems(f"{TEAM}queueing: [{{models: [Veo3]}}]\n") == ["a.yaml:3:12: `fair` is missing here"]
    assert problems(f"{TEAM}queueing: [{{models: [Veo3], fair: often}}]\n") == [
        "a.yaml:3:35: `fair` must be `true` or `false`"
    ]
    assert problems(f"{TEAM}queueing: [Veo3]\n") == [
        "a.yaml:3:12: an entry of `queueing` must be a table of fields: `models`, `fair`"
    ]


def test_an_entry_that_no_model_reaches_is_warned_of() -> None:
    text = f"{TEAM}queueing: [{{models: [Veo3, '*'], fair: true}}, {{models: [Kling], fair: false}}]\n"
    (warning,) = problems(text)
    assert warning.endswith("put this one first [never-used]")
