from gateway.core.addresses import Target
from gateway.core.policy import ParameterRule, PayloadRule, Source, Uploads, Webhooks
from tests.policy_texts import TEAM, problems, team


def test_payload_rules() -> None:
    text = (
        "payload:\n"
        '  - models: ["Veo3*", Veo4]\n'
        "    parameters:\n"
        "      durationSeconds: {min: 4, max: 8.5}\n"
        "      personGeneration: {one_of: [allow, 8, 1.5, true, null]}\n"
        "      negativePrompt: {forbidden: true}\n"
        "      prompt: {required: true, min_length: 0, max_length: 2000}\n"
    )
    (rule,) = team(text).payload
    assert rule == PayloadRule(
        ("Veo3*", "Veo4"),
        (
            ParameterRule("durationSeconds", minimum=4, maximum=8.5),
            ParameterRule("personGeneration", one_of=("allow", 8, 1.5, True, None)),
            ParameterRule("negativePrompt", forbidden=True),
            ParameterRule("prompt", required=True, min_length=0, max_length=2000),
        ),
    )


def test_uploads() -> None:
    assert team("").uploads == Uploads()
    assert team("uploads: {file_types: []}\n").uploads.file_types == ()
    assert team("uploads: {file_types: [png, mp4], relay: true, max_size: 1 KiB}\n").uploads == Uploads(
        ("png", "mp4"), relay=True, max_size=1024
    )


def test_a_job_timeout_is_more_than_nothing() -> None:
    assert (team("").job_timeout, team("job_timeout: 2 h\n").job_timeout) == (86400.0, 7200.0)
    assert team("job_timeout: 90\n").job_timeout == 90.0
    (problem,) = problems(f"{TEAM}job_timeout: 0 s\n")
    assert "`job_timeout` must be more than `0 s`" in str(problem)


def test_duplicates_are_seconds() -> None:
    assert team("").duplicates_window == 0.0
    assert team("duplicates: {window: 5 min}\n").duplicates_window == 300.0
    assert team("duplicates: {window: 24 h}\n").duplicates_window == 86400.0


def test_webhooks() -> None:
    assert team("").webhooks is None
    text = 'webhooks: {hosts: [hooks.example.com, "*.example.org"], secret: env:HOOKS}\n'
    assert team(text).webhooks == Webhooks(("hooks.example.com", "*.example.org"), Source("env", "HOOKS"))


def test_notify_is_on_a_host_of_the_webhooks() -> None:
    text = "webhooks: {hosts: [hooks.example.com], secret: env:HOOKS}\nnotify: https://hooks.example.com/limits\n"
    assert team("").notify is None
    assert team(text).notify == Target("hooks.example.com", "/limits")


def test_a_payload_rule_that_is_no_table_is_named_where_it_stands() -> None:
    found = problems(f"{TEAM}payload: [strict]\n")
    assert found == ["a.yaml:3:11: a payload rule must be a table of fields: `models`, `parameters`"]
