import pytest

from gateway.core.addresses import LONGEST_URL, Target, is_listed, is_public, read_target

HOSTS = ("hooks.example.com", "*.example.org")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.com", Target("hooks.example.com", "/")),
        ("https://hooks.example.com/", Target("hooks.example.com", "/")),
        ("HTTPS://Hooks.Example.COM:443/A/b?c=d/e?f", Target("hooks.example.com", "/A/b?c=d/e?f")),
        ("https://hooks.example.com?a=%20b", Target("hooks.example.com", "/?a=%20b")),
        ("https://a.example.org/x@y;z", Target("a.example.org", "/x@y;z")),
        ("https://a.b.xn--4ca.example.org/", Target("a.b.xn--4ca.example.org", "/")),
    ],
)
def test_a_url_on_a_listed_host_is_taken_apart(url: str, target: Target) -> None:
    assert read_target(url, HOSTS) == target


NOT_HTTPS = "must be an absolute `https://` URL in plain ASCII, without a fragment"
NO_NAME = "must name its host as a DNS name such as `hooks.example.com`: no address, no dot at its end"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.example.com/", NOT_HTTPS),
        ("//hooks.example.com/", NOT_HTTPS),
        ("file:///etc/passwd", NOT_HTTPS),
        ("gopher://hooks.example.com/", NOT_HTTPS),
        ("https:/hooks.example.com/", NOT_HTTPS),
        ("https://hooks.example.com/#part", NOT_HTTPS),
        ("https://hooks.example.com/a b", NOT_HTTPS),
        ("https://hooks.example.com/\r\nX: y", NOT_HTTPS),
        ("https://hooks.example.com/ä", NOT_HTTPS),
        ("https://hooks.example.com\\@evil.example/", NOT_HTTPS),
        ("", NOT_HTTPS),
        ("https://user@hooks.example.com/", "must not hold a user name or password"),
        ("https://hooks.example.com:443@evil.example/", "must not hold a user name or password"),
        ("https://hooks.example.com:22/", "must not name a port: it is always 443"),
        ("https://hooks.example.com:/", "must not name a port: it is always 443"),
        ("https://hooks.example.com:0443/", "must not name a port: it is always 443"),
        ("https://hooks.example.com./", NO_NAME),
        ("https://2852039166/", NO_NAME),
        ("https://0xa9fea9fe/", NO_NAME),
        ("https://127.1/", NO_NAME),
        ("https://0x7f.0.0.1/", NO_NAME),
        ("https://169.254.169.254/", NO_NAME),
        ("https://[::1]/", NO_NAME),
        ("https://[2001:4860:4860::8888]:443/", NO_NAME),
        ("https://localhost/", NO_NAME),
        ("https:///path", NO_NAME),
        ("https://hooks.exämple.com/", NO_NAME),
        ("https://hooks%2eexample.com/", NO_NAME),
        ("https://-hooks.example.com/", NO_NAME),
        ("https://hooks.example.com.evil.example/", "must be on a host that the team's policy lists; `{}` is not"),
        ("https://example.org/", "must be on a host that the team's policy lists; `{}` is not"),
        ("https://evilexample.org/", "must be on a host that the team's policy lists; `{}` is not"),
        (f"https://hooks.example.com/{'a' * LONGEST_URL}", "must have at most 2048 characters"),
        (f"https://{'a.' * 130}example.org/", NO_NAME),
    ],
)
def test_ss1_any_other_url_is_refused_and_what_to_do_said(url: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_target(url, HOSTS)
    assert str(refused.value) == problem.format(url.removeprefix("https://").partition("/")[0])


def test_a_pattern_is_a_host_or_every_name_below_one() -> None:
    assert is_listed("a.example.org", ("*.example.org",))
    assert is_listed("a.b.example.org", ("*.example.org",))
    assert not is_listed("example.org", ("*.example.org",))
    assert is_listed("example.org", ("x.example.org", "example.org"))
    assert not is_listed("a.example.org", ("example.org",))
    assert not is_listed("a.example.org", ())


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::6810:84e5", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"],
)
def test_an_address_of_the_internet_may_be_called(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1"),
        *("198.18.0.1", "192.0.0.8", "168.63.129.16"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "2001:db8::1"),
        *("fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::a9fe:a9fe"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        *("2001:0:808:808::f5ff:fffe", "2001:0:7f00:1::"),
        *("2852039166", "0xa9fea9fe", "127.1", "localhost", ""),
    ],
)
def test_ss2_no_other_address_may_be_called_however_it_is_wrapped(address: str) -> None:
    assert not is_public(address)
