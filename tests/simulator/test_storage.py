import pytest

from gateway.simulator.signing import StorageError, Upload
from gateway.simulator.storage import FILE_TYPES, Storage

NOW = 1_800_000_000.0


def upload(name: str) -> Upload:
    return Upload("host", f"/storage/{name}", "image/png")


@pytest.mark.parametrize(("file_type", "content_type"), FILE_TYPES.items())
def test_a_presigned_upload_is_allowed_for_its_type_alone(file_type: str, content_type: str) -> None:
    storage = Storage(100)
    path, query = storage.presign("host", "an org", file_type, NOW)
    assert path.startswith("/storage/gmi-uploads/an%20org/")
    assert path.endswith(f".{file_type}")
    storage.check(Upload("host", path, content_type), query, NOW)
    with pytest.raises(StorageError, match="does not match"):
        storage.check(Upload("host", path, "text/plain"), query, NOW)


def test_storages_do_not_trust_each_others_signatures() -> None:
    path, query = Storage(100).presign("host", "org", "png", NOW)
    with pytest.raises(StorageError, match="does not match"):
        Storage(100).check(Upload("host", path, "image/png"), query, NOW)


def test_a_file_is_kept_until_replaced_or_crowded_out() -> None:
    storage = Storage(100)
    storage.put(upload("a"), b"1" * 60)
    storage.put(upload("a"), b"2" * 60)
    storage.put(upload("b"), b"3" * 40)
    assert storage.get("/storage/a").data == b"2" * 60
    storage.put(upload("c"), b"4")
    assert storage.get("/storage/b").content_type == "image/png"
    with pytest.raises(StorageError, match="does not exist") as caught:
        storage.get("/storage/a")
    assert (caught.value.status, caught.value.code) == (404, "NoSuchKey")


def test_a_file_larger_than_all_room_is_refused_and_crowds_nothing_out() -> None:
    storage = Storage(100)
    storage.put(upload("a"), b"1")
    with pytest.raises(StorageError, match="larger than the maximum"):
        storage.put(upload("b"), b"2" * 101)
    assert storage.get("/storage/a").data == b"1"
