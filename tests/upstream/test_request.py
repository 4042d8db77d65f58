"""Paths from templates, headers from one list."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream import request
from gateway.upstream.credentials import Access, Secret


@given(st.text(max_size=600))
def test_pa1_whatever_the_model_id_the_path_stays_in_its_template(model: str) -> None:
    try:
        target = request.get_model(model).target
    except (ValueError, UnicodeEncodeError):
        return
    prefix = f"{request.PREFIX}/models/"
    assert target.startswith(prefix)
    segment = target.removeprefix(prefix)
    assert segment.isascii()
    assert segment not in ("", ".", "..")
    assert not set(segment) & set("/?#;\\ \r\n")


def test_request_ids() -> None:
    for good in ("a", "7F-_", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "x" * 128):
        assert request.valid_request_id(good)
    for bad in ("", "-a", "_a", ".", "..", "a.b", "a/b", "a%2fb", "a b", "a\n", "é", "x" * 129):
        assert not request.valid_request_id(bad)


def test_only_reads_are_repeatable() -> None:
    reads = (
        request.list_models(),
        request.get_model("m"),
        request.get_request("r", "a"),
        request.list_requests(None, 1, 0),
    )
    writes = (
        request.create_request(b"{}", None, "a"),
        request.upload_url(b"{}", None, "a"),
        request.delete_request("r", None, "a"),
    )
    assert all(question.repeatable for question in reads)
    assert not any(question.repeatable for question in writes)


def test_a_read_carries_no_body_headers_and_no_organisation_unless_there_is_one() -> None:
    key = Secret("k")
    lines = request.head_of(request.list_models(), "h", key, Access((key,), None, ())).split(b"\r\n")
    assert lines[0] == f"GET {request.PREFIX}/models HTTP/1.1".encode()
    names = [line.partition(b": ")[0] for line in lines[1:]]
    assert names == [b"host", b"accept", b"accept-encoding", b"user-agent", b"authorization", b"", b""]


def test_se1_a_question_does_not_show_what_it_carries() -> None:
    assert "prompt" not in repr(request.create_request(b'{"prompt":"x"}', None, "a"))
