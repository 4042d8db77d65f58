"""Settings: flag, else environment, else default; and what is said about those that cannot be used."""

import dataclasses
import ipaddress

import pytest

from gateway.settings import Settings, SettingsError, flag_of, read_settings, variable_of

SECRET = "canary-token"


def problems_of(environment: dict[str, str], flags: dict[str, str | None] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read_settings(environment, flags or {})
    return str(raised.value).split("\n")


def test_nothing_set_gives_the_defaults() -> None:
    settings = read_settings({"PATH": "/bin", "GMI_API_KEY": "unrelated"}, {})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.admin_port) == ("127.0.0.1", 8080, 9090)
    assert settings.upstream_url == "https://console.gmicloud.ai"
    assert settings.max_body == 32 * 1024 * 1024
    assert (settings.drain_delay, settings.drain_timeout) == (5, 320)


def test_the_environment_is_read() -> None:
    settings = read_settings(
        {
            "GATEWAY_UPSTREAM_URL": "http://127.0.0.1:9000/",
            "GATEWAY_SIMULATE": "on",
            "GATEWAY_PORT": "0",
            "GATEWAY_MAX_BODY": "64 KiB",
            "GATEWAY_CREATE_TIMEOUT": "2 min",
            "GATEWAY_ACCESS_LOG": "off",
            "GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "GATEWAY_LOG_LEVEL": "DEBUG",
        },
        {},
    )
    assert settings.upstream_url == "http://127.0.0.1:9000"
    assert settings.simulate
    assert settings.port == 0
    assert settings.max_body == 65536
    assert settings.create_timeout == 120
    assert not settings.access_log
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert settings.log_level == "debug"


def test_a_flag_wins_over_the_environment_and_an_absent_one_does_not() -> None:
    environment = {"GATEWAY_PORT": "1000", "GATEWAY_HOST": "10.0.0.1"}
    settings = read_settings(environment, {"port": "2000", "host": None})
    assert (settings.port, settings.host) == (2000, "10.0.0.1")


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert read_settings({"GATEWAY_PORT": "", "GATEWAY_ADMIN_TOKEN": ""}, {}) == Settings()


def test_an_unknown_variable_is_an_error() -> None:
    assert problems_of({"GATEWAY_MAX_BODDY": "1", "GATEWAY_PROT": "1", "GATEWAY_QUUX": "1"}) == [
        "GATEWAY_MAX_BODDY: no such setting; did you mean GATEWAY_MAX_BODY?",
        "GATEWAY_PROT: no such setting; did you mean GATEWAY_PORT?",
        "GATEWAY_QUUX: no such setting; see `gmi-gateway serve --help`",
    ]


def test_a_ledger_that_is_no_url_is_named_as_it_was_given_and_not_shown() -> None:
    form = "must be `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`"
    assert problems_of({}, {"ledger": f"{SECRET}.db"}) == [f"--ledger: {form}"]


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("GATEWAY_PORT", "65536", "must be a port from 0 to 65535, not '65536'"),
        ("GATEWAY_PORT", "-1", "must be a port from 0 to 65535, not '-1'"),
        ("GATEWAY_PORT", "٨٠", "must be a port from 0 to 65535, not '٨٠'"),
        ("GATEWAY_MAX_BODY", "32 MB", "must be a size such as `32 MiB`"),
        ("GATEWAY_MAX_BODY", "-1", "must be a size such as `32 MiB`"),
        ("GATEWAY_DRAIN_DELAY", "soon", "must be a duration such as `300 s`"),
        ("GATEWAY_DRAIN_DELAY", "nan", "must be a duration such as `300 s`"),
        ("GATEWAY_MAX_IN_FLIGHT", "0", "must be a whole number of at least 1, not '0'"),
        ("GATEWAY_MAX_BODY", "0", "must be more than 0, not '0'"),
        ("GATEWAY_MAX_BODY", "0.5 B", "must be more than 0, not '0.5 B'"),
        ("GATEWAY_UPSTREAM_TIMEOUT", "0 s", "must be more than 0, not '0 s'"),
        ("GATEWAY_CREATE_TIMEOUT", "0", "must be more than 0, not '0'"),
        ("GATEWAY_WORKERS", "0", "must be a whole number of at least 1, not '0'"),
        ("GATEWAY_WORKERS", "65", "must be at most 64, not '65'; one worker uses one core"),
        ("GATEWAY_SIMULATE", "maybe", "must be `on` or `off`, not 'maybe'"),
        ("GATEWAY_LOG_FORMAT", "xml", "must be one of auto, json, text, not 'xml'"),
        (
            "GATEWAY_UPSTREAM_URL",
            "https://console.gmicloud.ai/api",
            "must be a scheme and host such as `https://console.gmicloud.ai`, not 'https://console.gmicloud.ai/api'",
        ),
        (
            "GATEWAY_UPSTREAM_URL",
            "console.gmicloud.ai",
            "must be a scheme and host such as `https://console.gmicloud.ai`, not 'console.gmicloud.ai'",
        ),
        (
            "GATEWAY_UPSTREAM_URL",
            "http://a:b",
            "must be a scheme and host such as `https://console.gmicloud.ai`, not 'http://a:b'",
        ),
        (
            "GATEWAY_UPSTREAM_URL",
            "http://[::1:99999",
            "must be a scheme and host such as `https://console.gmicloud.ai`, not 'http://[::1:99999'",
        ),
        ("GATEWAY_UPSTREAM_URL", "http://a:65536", "Port out of range 0-65535"),
        (
            "GATEWAY_TRUSTED_PROXIES",
            "10.0.0.0/33",
            "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network",
        ),
    ],
)
def test_a_value_that_cannot_be_read_is_named(variable: str, text: str, problem: str) -> None:
    assert problems_of({variable: text}) == [f"{variable}: {problem}"]


@pytest.mark.parametrize("variable", ["GATEWAY_UPSTREAM_URL", "GATEWAY_PUBLIC_URL"])
@pytest.mark.parametrize("text", [f"https://user:{SECRET}@x", f"https://{SECRET}@x/path", f"user:{SECRET}@x"])
def test_se1_a_password_in_a_url_is_not_shown(variable: str, text: str) -> None:
    form = "must be a scheme and host such as `https://console.gmicloud.ai`, without a user or a password"
    assert problems_of({variable: text}) == [f"{variable}: {form}"]


def test_every_problem_is_named_at_once_and_a_flag_by_its_own_name() -> None:
    assert problems_of({"GATEWAY_DRAIN_DELAY": "x", "GATEWAY_QUUX": "1"}, {"port": "http", "upstream_url": "x"}) == [
        "GATEWAY_QUUX: no such setting; see `gmi-gateway serve --help`",
        "--upstream: must be a scheme and host such as `https://console.gmicloud.ai`, not 'x'",
        "--port: must be a port from 0 to 65535, not 'http'",
        "GATEWAY_DRAIN_DELAY: must be a duration such as `300 s`",
    ]


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"GATEWAY_TLS_CERT": "/c.pem"}, "GATEWAY_TLS_CERT and GATEWAY_TLS_KEY: set both or neither"),
        ({"GATEWAY_TLS_KEY": "/k.pem"}, "GATEWAY_TLS_CERT and GATEWAY_TLS_KEY: set both or neither"),
        (
            {"GATEWAY_ADMIN_TOKEN": SECRET, "GATEWAY_ADMIN_TOKEN_FILE": "/t"},
            "GATEWAY_ADMIN_TOKEN and GATEWAY_ADMIN_TOKEN_FILE: set one of them",
        ),
        (
            {"GATEWAY_LEDGER": f"mysql://root:{SECRET}@db/x"},
            "GATEWAY_LEDGER: must be `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environment: dict[str, str], problem: str) -> None:
    assert problems_of(environment) == [problem]


def test_se1_secrets_are_never_shown() -> None:
    settings = read_settings({"GATEWAY_ADMIN_TOKEN": SECRET, "GATEWAY_LEDGER": f"sqlite:///{SECRET}.db"}, {})
    assert settings.admin_token == SECRET
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("300 s", 300), ("250 ms", 0.25), ("5 min", 300), ("1h", 3600), ("0", 0)]
)
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert read_settings({"GATEWAY_DRAIN_DELAY": text}, {}).drain_delay == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("1 B", 1), ("1.5 KiB", 1536), (" 2MiB ", 2 * 1024**2), ("1 GiB", 1024**3)]
)
def test_sizes_are_read_with_their_unit(text: str, size: int) -> None:
    assert read_settings({}, {"max_body": text}).max_body == size


def test_every_setting_says_what_it_means_and_has_its_own_name() -> None:
    fields = dataclasses.fields(Settings)
    assert all(field.metadata["meaning"].endswith(".") for field in fields)
    assert len({variable_of(field.name) for field in fields}) == len(fields)
    flags = [flag_of(field.name) for field in fields if field.metadata["flag"]]
    assert {"--upstream", "--simulate", "--host", "--port", "--policies", "--ledger"} <= set(flags)


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_default_is_of_the_kind_its_parser_gives(field: "dataclasses.Field[object]") -> None:
    samples = {
        "parse_port": "80",
        "parse_size": "1",
        "parse_duration": "1",
        "parse_count": "1",
        "parse_workers": "1",
        "parse_switch": "on",
        "parse_origin": "https://a.example",
        "parse_networks": "10.0.0.0/8",
        "parse_ledger": "sqlite:///a.db",
    }
    parse = field.metadata["parse"]
    sample = samples.get(parse.__name__, str(field.default))
    assert type(parse(sample)) is type(field.default)
