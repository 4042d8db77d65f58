import uuid

from gateway.simulator.catalogue import CATALOGUE
from gateway.simulator.jobs import Draft, Jobs

NOW = 1_800_000_000.7
BASE = "http://127.0.0.1:1"


def jobs(max_jobs: int = 100, max_bytes: int = 1000, seed: int | None = None) -> Jobs:
    return Jobs(max_jobs, max_bytes, speed=10, seed=seed)


def draft(model_id: str = "Veo3", size: int = 10) -> Draft:
    return Draft(CATALOGUE[model_id], {"prompt": "a fox"}, size)


def test_a_short_record_has_the_recorded_keys_in_order() -> None:
    record = jobs().create("org", draft(), NOW).short_record(NOW)
    assert list(record) == ["request_id", "model", "status", "created_at", "updated_at", "queued_at"]
    assert record["status"] == "created"
    assert record["created_at"] == record["updated_at"] == record["queued_at"] == int(NOW)


def test_a_full_record_has_the_recorded_keys_in_order_and_an_outcome_at_the_end() -> None:
    job = jobs().create("org", draft(), NOW)
    live = job.full_record(NOW + 8, BASE)
    assert list(live) == [
        *("request_id", "org_id", "user_id", "model", "status", "is_public", "payload", "outcome"),
        *("created_at", "updated_at", "queued_at"),
    ]
    assert (live["status"], live["outcome"], live["payload"]) == ("processing", None, {"prompt": "a fox"})
    ended = job.full_record(NOW + 60, BASE)
    folder = f"{BASE}/artifacts/org/{job.request_id}"
    assert ended["status"] == "success"
    assert ended["outcome"]["video_url"] == f"{folder}/video.mp4"
    assert ended["updated_at"] == int(NOW + 9)


def test_an_organization_is_quoted_in_the_artifact_path() -> None:
    record = jobs().create("a/b c", draft(), NOW).full_record(NOW + 60, BASE)
    assert "/artifacts/a%2Fb%20c/" in record["outcome"]["video_url"]


def test_artifacts_exist_from_success_on() -> None:
    job = jobs().create("org", draft(), NOW)
    assert job.artifact_names(NOW + 8.9) == ()
    assert job.artifact_names(job.ends_at) == ("video.mp4", "thumbnail.jpg")


def test_a_cancel_ends_a_live_job_for_good() -> None:
    job = jobs().create("org", draft(), NOW)
    job.cancel(NOW + 2)
    record = job.full_record(NOW + 60, BASE)
    assert (record["status"], record["outcome"], record["updated_at"]) == ("cancelled", None, int(NOW + 2))


def test_a_cancel_leaves_an_ended_job_alone() -> None:
    job = jobs().create("org", draft(), NOW)
    job.cancel(NOW + 9)
    assert job.full_record(NOW + 60, BASE)["status"] == "success"


def test_a_failed_row_fails_at_once_with_a_sentence() -> None:
    record = jobs().create_failed("org", draft("luma-ray-2"), NOW).full_record(NOW, BASE)
    assert record["status"] == "failed"
    assert isinstance(record["outcome"]["error"], str)


def test_an_unreliable_model_echoes_no_payload() -> None:
    job = jobs().create("org", draft("gemini-3-pro-image-preview"), NOW)
    assert job.full_record(NOW, BASE)["payload"] == {}


def test_jobs_are_listed_newest_first_by_model_and_organization() -> None:
    kept = jobs()
    first, other, last = (kept.create("org", draft(name), NOW) for name in ("Veo3", "vidu-q1", "Veo3"))
    foreign = kept.create("another", draft(), NOW)
    assert kept.of("org") == [last, other, first]
    assert kept.of("org", "Veo3") == [last, first]
    assert kept.of("org", "veo3") == []
    assert kept.get("org", foreign.request_id) is None
    assert kept.get("another", foreign.request_id) is foreign
    assert kept.get("org", "nonsense") is None


def test_the_oldest_is_forgotten_beyond_either_bound() -> None:
    few = jobs(max_jobs=2)
    created = [few.create("org", draft(), NOW) for _ in range(3)]
    assert few.of("org") == created[:0:-1]
    small = jobs(max_bytes=100)
    created = [small.create("org", draft(size=60), NOW) for _ in range(3)]
    assert small.of("org") == created[2:]
    huge = small.create("org", draft(size=5000), NOW)
    assert small.of("org") == [huge]
    assert len(small) == 1


def test_ids_are_uuids_repeatable_only_by_seed() -> None:
    ids = [jobs(seed=seed).create("org", draft(), NOW).request_id for seed in (1, 1, 2, None, None)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert {uuid.UUID(request_id).version for request_id in ids} == {4}
