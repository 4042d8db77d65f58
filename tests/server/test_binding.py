"""What is said about addresses and TLS files that cannot be had."""

import socket
import subprocess
from pathlib import Path

import pytest

from gateway.server.binding import CannotListenError, bind_both, find_tls
from gateway.server.tls import TLSFiles
from tests.server.test_tls import make_certificate

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_certificate(tmp_path_factory.mktemp("pair"), "here")


def refusal(cert: object, key: object) -> list[str]:
    with pytest.raises(CannotListenError) as raised:
        find_tls(str(cert), str(key))
    return str(raised.value).splitlines()


def test_both_sockets_listen() -> None:
    public, admin = bind_both((HERE, 0), (HERE, 0))
    with public, admin:
        assert public.getsockname() != admin.getsockname()


def test_a_port_that_is_taken_may_be_another_gateways() -> None:
    with socket.create_server((HERE, 0)) as other:
        taken = other.getsockname()[1]
        for public, admin, label, flag in (taken, 0, "public", "port"), (0, taken, "admin", "admin-port"):
            with pytest.raises(CannotListenError) as raised:
                bind_both((HERE, public), (HERE, admin))
            why = "the port is taken; is another gateway running? If that one shall stay, choose another port"
            how = f"--{flag} or GATEWAY_{flag.upper().replace('-', '_')}"
            assert str(raised.value) == f"cannot listen on {HERE}:{taken} ({label}): {why} with {how}"


def test_one_port_for_both_is_said() -> None:
    with socket.create_server((HERE, 0)) as other:
        free = other.getsockname()[1]
    with pytest.raises(CannotListenError) as raised:
        bind_both((HERE, free), (HERE, free))
    problem = f"GATEWAY_PORT and GATEWAY_ADMIN_PORT are both {free}: give each listener a port of its own"
    assert str(raised.value) == problem
    socket.create_server((HERE, free)).close()


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
def test_an_address_that_is_not_this_machines_blames_no_other_gateway(host: str) -> None:
    with pytest.raises(CannotListenError) as raised:
        bind_both((host, 0), (HERE, 0))
    assert str(raised.value).startswith(f"cannot listen on {host}:0 (public): ")
    assert "gateway" not in str(raised.value)


def test_without_tls_there_is_nothing_to_find() -> None:
    assert find_tls("", "") is None


def test_a_certificate_and_its_key_are_found(pair: TLSFiles) -> None:
    assert find_tls(str(pair.cert), str(pair.key)) == pair


def test_files_that_cannot_be_read_are_both_named(tmp_path: Path) -> None:
    assert refusal("/nope", tmp_path) == [
        "GATEWAY_TLS_CERT /nope: No such file or directory",
        f"GATEWAY_TLS_KEY {tmp_path}: Is a directory",
    ]


def test_files_that_hold_something_else_are_named(pair: TLSFiles) -> None:
    assert refusal(pair.key, pair.cert) == [
        f"GATEWAY_TLS_CERT {pair.key}: holds no certificate in PEM form",
        f"GATEWAY_TLS_KEY {pair.cert}: holds no private key in PEM form",
    ]


def test_a_key_of_another_certificate_is_said(pair: TLSFiles, tmp_path: Path) -> None:
    other = make_certificate(tmp_path / "other", "other")
    (problem,) = refusal(pair.cert, other.key)
    assert problem == f"GATEWAY_TLS_CERT {pair.cert} and GATEWAY_TLS_KEY {other.key}: the key is not the certificate's"


def test_a_key_behind_a_passphrase_is_said(pair: TLSFiles, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(pair.key), "-out", str(locked), "-passout", "pass:a"]
    subprocess.run(command, check=True, capture_output=True)
    (problem,) = refusal(pair.cert, locked)
    assert problem.endswith("they cannot be used; is the key protected by a passphrase?")
