from gateway.core.headers import JSON


def test_json_is_announced_by_its_registered_type() -> None:
    """RFC 8259 §11: it has no parameters, and a charset would mean nothing."""
    assert JSON == (b"content-type", b"application/json")
