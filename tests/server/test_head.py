"""A head that comes again."""

from gateway.server.head import Head


def test_the_same_head_with_another_target_has_the_same_fields_and_notes() -> None:
    host = (b"host", b"gateway")
    head = Head("GET", b"/one", "1.1", [host], [host], expects_continue=False, keep_alive=True, notes={})
    again = head.again(b"/two")
    assert (head.target, again.target) == (b"/one", b"/two")
    assert (again.method, again.version, again.expects_continue, again.keep_alive) == ("GET", "1.1", False, True)
    assert again.headers is head.headers
    assert again.framing is head.framing
    assert again.notes is head.notes
