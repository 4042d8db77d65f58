from gateway.core.policy import Key, Scope, Uploads
from tests.policy_texts import DIGEST, OTHER_DIGEST, TEAM, policy, problems, team

GATEWAY = (
    "defaults:\n"
    "  timezone: Europe/Berlin\n"
    "  models: {allow: ['Veo*'], deny: [Veo3-Ultra]}\n"
    "  limits: [600 requests per minute, 5 jobs at once]\n"
    "  payload: [{models: ['*'], parameters: {seed: {forbidden: true}}}]\n"
    "  uploads: {file_types: [png], max_size: 1 KiB}\n"
    "  duplicates: {window: 30 s}\n"
    "  charge_failed: true\n"
    "  job_timeout: 1 h\n"
    "  credential: shared\n"
    "  webhooks: {hosts: [hooks.example.com], secret: env:HOOKS}\n"
    "credentials: {shared: {api_key: env:KEY}}\n"
)


def test_a_team_that_says_nothing_else_is_careful() -> None:
    found = team("")
    assert (found.timezone, found.credential, found.allow, found.deny) == ("UTC", "default", ("Veo3",), ())
    assert (found.keys, found.limits, found.payload, found.charge_failed) == ((), (), (), False)


def test_keys() -> None:
    text = (
        "keys:\n"
        f"  - {{name: web, hash: sha256:{DIGEST.upper()}}}\n"
        f"  - {{name: app, hash: 'sha256:{OTHER_DIGEST}', scopes: ['jobs:read', models]}}\n"
    )
    assert team(text).keys == (
        Key("web", DIGEST),
        Key("app", OTHER_DIGEST, scopes=frozenset((Scope.JOBS_READ, Scope.MODELS))),
    )


def test_callers_are_found_by_the_hash_of_their_key() -> None:
    found = policy(f"{TEAM}keys: [{{name: web, hash: sha256:{DIGEST}}}]\n")
    assert found.callers[DIGEST].team is found.teams["a"]
    assert found.callers[DIGEST].key.name == "web"


def test_a_team_inherits_everything_it_does_not_set() -> None:
    found = policy("team: b\n", GATEWAY).teams["b"]
    assert (found.timezone, found.credential, found.duplicates_window) == ("Europe/Berlin", "shared", 30.0)
    assert (found.allow, found.deny, found.charge_failed) == (("Veo*",), ("Veo3-Ultra",), True)
    assert found.job_timeout == 3600.0
    assert [limit.name for limit in found.limits] == ["requests-minute", "jobs-at-once"]
    assert found.payload[0].parameters[0].name == "seed"
    assert found.uploads == Uploads(("png",), relay=False, max_size=1024)
    assert found.webhooks is not None


def test_a_team_sets_limits_one_by_one_and_models_and_uploads_field_by_field() -> None:
    text = (
        "team: b\nmodels: {allow: [Veo3]}\nuploads: {relay: true}\n"
        "limits: [9 jobs per day, {limit: 7 jobs at once, name: jobs-at-once}]\ncharge_failed: false\n"
    )
    found = policy(text, GATEWAY).teams["b"]
    assert (found.allow, found.deny, found.charge_failed) == (("Veo3",), ("Veo3-Ultra",), False)
    assert found.uploads == Uploads(("png",), relay=True, max_size=1024)
    assert {limit.name: limit.amount for limit in found.limits} == {
        "jobs-day": 9,
        "jobs-at-once": 7,
        "requests-minute": 600,
    }


def test_a_team_may_empty_what_it_inherits() -> None:
    found = policy("team: b\nmodels: {deny: []}\npayload: []\n", GATEWAY).teams["b"]
    assert (found.deny, found.payload) == ((), ())


def test_defaults_are_checked_once_even_where_every_team_takes_them() -> None:
    gateway = "defaults: {limits: [5 jobs], uploads: {file_types: [gif]}}\n"
    expected = problems(TEAM, gateway)
    assert len(expected) == 2
    assert problems(TEAM, gateway, "team: c\nmodels: {allow: [Veo3]}\n") == expected


def test_a_key_without_a_usable_name_is_left_out_but_its_other_fields_are_checked() -> None:
    text = f"keys: [{{name: 'a b', hash: sha256:{DIGEST}, expires: x}}]\n"
    assert [problem.split(": ")[0] for problem in problems(TEAM + text)] == ["a.yaml:3:15", "a.yaml:3:110"]
