from argparse import ArgumentParser, ArgumentTypeError

import pytest

from gateway.cli.options import add_settings, default_text, saying_why
from gateway.settings import parse_port


def test_a_setting_that_is_not_given_is_left_to_the_environment() -> None:
    parser = ArgumentParser()
    add_settings(parser, "port", "simulate", "upstream_url")
    assert vars(parser.parse_args([])) == {"port": None, "simulate": None, "upstream_url": None}
    given = parser.parse_args(["--port", "81", "--simulate", "--upstream", "https://example.com"])
    assert vars(given) == {"port": "81", "simulate": "on", "upstream_url": "https://example.com"}


def test_help_names_variable_and_default() -> None:
    parser = ArgumentParser()
    add_settings(parser, "port")
    assert "[GATEWAY_PORT, default 8080]" in " ".join(parser.format_help().split())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_body", "32 MiB"),
        ("create_timeout", "300 s"),
        ("access_log", "on"),
        ("simulate", "off"),
        ("trusted_proxies", "none"),
        ("admin_token", "none"),
        ("port", "8080"),
    ],
)
def test_defaults_read_as_a_person_would_write_them(name: str, text: str) -> None:
    assert default_text(name) == text


def test_a_bad_value_says_why() -> None:
    with pytest.raises(ArgumentTypeError, match="must be a port from 0 to 65535, not 'http'"):
        saying_why(parse_port)("http")
    assert saying_why(parse_port)("80") == 80
