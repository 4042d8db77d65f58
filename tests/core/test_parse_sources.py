import pytest

from gateway.core.policy import Credential, Source
from tests.policy_texts import TEAM, policy, problems


def test_without_credentials_the_default_is_gmis_own_variables() -> None:
    assert policy(TEAM).credentials == {
        "default": Credential("default", (Source("env", "GMI_API_KEY"),), Source("env", "GMI_ORG_ID", optional=True))
    }


def test_credentials_from_any_file() -> None:
    default = "credentials: {default: {api_key: env:A, organization: env:ORG}}\n"
    studio = "credentials: {studio: {api_key: [file:/run/s, env:OLD], organization: 63729242-1}}\n"
    found = policy(TEAM + "credential: studio\n" + default, studio)
    assert found.teams["a"].credential == "studio"
    assert found.credentials == {
        "default": Credential("default", (Source("env", "A"),), Source("env", "ORG")),
        "studio": Credential("studio", (Source("file", "/run/s"), Source("env", "OLD")), Source("text", "63729242-1")),
    }


def test_an_organization_may_be_left_out_or_read_from_a_file() -> None:
    text = "credentials: {x: {api_key: env:A}, y: {api_key: env:B, organization: file:/run/org}}\n"
    found = policy(TEAM + text).credentials
    assert found["x"].organization is None
    assert found["y"].organization == Source("file", "/run/org")


@pytest.mark.parametrize(
    "source", ["eyJhbGciOi.x.y", "'env:'", "env:A B", "env:1A", "file:relative", "vault:x", "5", "[]"]
)
def test_se1_a_secret_in_place_of_its_source_is_not_quoted(source: str) -> None:
    (problem,) = problems(f"{TEAM}webhooks: {{hosts: [a.example.com], secret: {source}}}\n")
    expected = "`secret` must be `env:NAME` or `file:/path`: a secret itself never stands in a policy"
    assert problem == f"a.yaml:3:44: {expected}"


def test_se1_a_source_does_not_show_what_it_holds() -> None:
    assert "63729242" not in repr(Source("text", "63729242-1"))


def test_a_credential_that_is_no_table_is_reported() -> None:
    assert problems(f"{TEAM}credentials: {{x: env:KEY}}\n") == [
        "a.yaml:3:18: the credential `x` must be a table of fields: `api_key`, `organization`"
    ]
