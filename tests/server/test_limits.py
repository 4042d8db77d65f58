"""Connections against file descriptors."""

import resource

import pytest

from gateway.server.limits import ConnectionLimits, connection_cap, open_files


@pytest.mark.parametrize(("asked", "files", "cap"), [(10_000, 1024, 512), (10_000, 1 << 20, 10_000), (10_000, 1, 1)])
def test_rs2_connections_leave_half_of_the_descriptors(asked: int, files: int, cap: int) -> None:
    assert connection_cap(asked, files) == cap


def test_the_open_file_limit_is_the_one_in_force() -> None:
    assert open_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_defaults_are_the_documented_ones() -> None:
    limits = ConnectionLimits()
    assert (limits.target_bytes, limits.header_bytes, limits.header_count) == (8192, 32_768, 100)
    assert (limits.header_seconds, limits.body_seconds, limits.body_bytes_per_second) == (10, 30, 1024)
