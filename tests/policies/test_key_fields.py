import pytest

from gateway.policies.edit import EditError
from gateway.policies.key_fields import set_key_field

DIGEST = "ab" * 32
BLOCK = f"""\
team: a
keys:
  # the first
  - name: web # for the site
    hash: sha256:{DIGEST}
    scopes:
      - models
      - jobs
  - name: batch
    hash: sha256:{"cd" * 32}
models: {{allow: [Veo3]}}
"""
FLOW = f'team: a\nkeys: [{{name: web, hash: "sha256:{DIGEST}"}}] # one\n'


def test_a_field_is_added_below_the_keys_last_one() -> None:
    edited = set_key_field(BLOCK, "web", "expires", "2027-01-01T00:00:00Z")
    assert edited == BLOCK.replace("      - jobs\n", "      - jobs\n    expires: 2027-01-01T00:00:00Z\n")


def test_a_field_that_is_there_is_replaced() -> None:
    first = set_key_field(BLOCK, "batch", "expires", "2027-01-01")
    assert set_key_field(first, "batch", "expires", "2028-01-01") == first.replace("2027-01-01", "2028-01-01")


def test_in_braces_it_stays_in_braces() -> None:
    edited = set_key_field(FLOW, "web", "scopes", "[models, jobs:read]")
    assert edited == FLOW.replace("}", ", scopes: [models, jobs:read]}")


@pytest.mark.parametrize("text", ["team: a\n", "team: a\nkeys: []\n", BLOCK])
def test_a_key_that_is_not_there_is_said(text: str) -> None:
    with pytest.raises(EditError, match="the team has no key `nobody`"):
        set_key_field(text, "nobody", "expires", "2027-01-01")


@pytest.mark.parametrize("text", ["- a list\n", "team: [\n", "team: a\nteam: b\n"])
def test_a_file_that_cannot_be_read_is_left_alone(text: str) -> None:
    with pytest.raises(EditError, match="correct the file first"):
        set_key_field(text, "web", "expires", "2027-01-01")


@pytest.mark.parametrize("value", ["2027-01-01 # soon\n    more: 1", "[", "", "2027-01-01, also: 1"])
def test_an_edit_that_would_say_more_than_the_one_field_is_refused(value: str) -> None:
    with pytest.raises(EditError, match="set `expires` of `web` by hand"):
        set_key_field(FLOW, "web", "expires", value)
