"""What a path or query can do: rows PA1 to PA6."""

import pytest

from tests.fake_upstream import Q
from tests.faults.conftest import World, refused
from tests.faults.wire import draft, get, head, post

CLIMBING = [
    *("..", "%2e%2e", ".%2e", "%2e%2e%2fmodels", "..%5c", "%252e%252e", "..;", "."),
    *("../models", "a%2fb", "a/b", "%00"),
]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_pa1_an_id_is_not_a_path(world: World, method: str) -> None:
    for identifier in CLIMBING:
        refused(await world.keeping(head(method, f"{Q}/requests/{identifier}")), 404, "unknown_route")
    assert world.upstream.received == []
    await world.untouched()


async def test_pa1_a_model_id_is_not_a_path_either(world: World) -> None:
    for identifier in ("..", ".", "%2e%2e", "%2E", "%2e%2e%2frequests", "..%2f..%2fusers"):
        refused(await world.keeping(get(f"{Q}/models/{identifier}")), 404, "model_not_found")
    assert {request.target for request in world.upstream.received} == {f"{Q}/models"}


SPELLINGS = [
    f"/{Q}/requests",
    f"{Q}//requests",
    f"{Q}/./requests",
    f"{Q}/x/../requests",
    Q.upper() + "/requests",
    "/API" + Q.removeprefix("/api") + "/requests",
    Q.upper() + "/requests/some-id",
    f"{Q}/%72equests",
    f"{Q}/%72equests/some-id",
    f"{Q}/requests;x",
    f"{Q}/requests/",
    f"{Q}/models/",
    f"{Q}/requests%3Fa",
    f"{Q}/requests%00",
    "//gateway/v1/usage",
    "/gateway/v1/usage/",
    "/gateway",
    "/",
]


async def test_pa2_a_path_has_one_spelling(world: World) -> None:
    for path in SPELLINGS:
        for request in (get(path), post(draft(), target=path)):
            answer = await world.keeping(request)
            refused(answer, 404, "unknown_route")
            assert "location" not in answer.headers
    await world.untouched()
    assert world.upstream.received == []


@pytest.mark.parametrize(
    "target",
    [
        f"{Q}/requests/" + "x" * (8193 - len(f"{Q}/requests/")),
        f"{Q}/models?" + "x" * (8193 - len(f"{Q}/models?")),
        "/" + "x" * 1_000_000,
    ],
    ids=["path-8193", "query-8193", "1-mb"],
)
async def test_pa4_a_target_is_bounded(world: World, target: str) -> None:
    refused(await world.closing(get(target)), 414, "uri_too_long")
    assert world.upstream.received == []


async def test_pa4_a_target_of_8192_bytes_is_fine(world: World) -> None:
    target = f"{Q}/models?" + "x" * (8192 - len(f"{Q}/models?"))
    assert (await world.keeping(get(target))).status == 200


@pytest.mark.parametrize(
    "query",
    [
        "org_id=evil&model=Veo3&limit=1e9&api_key=x",
        "&".join(f"p{number}=1" for number in range(1000)),
        "%00",
        "%ff=%ff",
        "",
        "?&=&;",
    ],
    ids=["names", "1000", "nul", "no-utf-8", "empty", "odd"],
)
async def test_pa5_a_query_is_ignored_and_not_sent_on(world: World, query: str) -> None:
    for path in (f"{Q}/models", f"{Q}/models/Veo3", "/gateway/v1/usage"):
        assert (await world.keeping(get(f"{path}?{query}"))).status == 200
    created = await world.keeping(post(draft(), target=f"{Q}/requests?{query}"))
    assert created.status == 200
    assert (await world.keeping(get(f"{Q}/requests/{created.json['request_id']}?{query}"))).status == 200
    assert not [request.target for request in world.upstream.received if "?" in request.target]
    await world.created()


async def test_pa5_the_list_ignores_what_is_not_its_own(world: World) -> None:
    many = "&".join(f"p{number}=1" for number in range(1000))
    for query in ("org_id=evil", many, "%00", "%ff=%ff", "limit=1&Limit=9"):
        listed = await world.keeping(get(f"{Q}/requests?{query}"))
        assert listed.json == {"requests": [], "has_more": False, "total": 0}


NO_PAGES = [
    *("limit=1e9", "limit=0", "limit=201", "limit=-1", "limit=", "limit=+5", "limit=0x5", "limit=5%00", "limit"),
    *("limit=%D9%A1", "limit=1&limit=1", "limit=5&li%6Dit=6", "limit=" + "1" * 5000),
    *("offset=-1", "offset=x", "offset=10000001", "offset=", "offset=1&offset=2"),
    *("model_id=Veo3&model_id=Veo3", "model_id=%ff", "model_id=a%00b", "model_id=" + "x" * 300),
]


async def test_pa5_the_lists_own_parameters_are_strict(world: World) -> None:
    for query in NO_PAGES:
        refused(await world.keeping(get(f"{Q}/requests?{query}")), 400, "invalid_request")


async def test_pa6_a_listed_name_is_encoded_once(world: World) -> None:
    for identifier in ("Kling%20V2.1%2BMaster", "Kling%20V2.1+Master", "%4Bling%20V2%2e1+Master"):
        answer = await world.keeping(get(f"{Q}/models/{identifier}"))
        assert (answer.status, answer.json["model"]) == (200, "Kling V2.1+Master")
    details = [request.target for request in world.upstream.received if request.target != f"{Q}/models"]
    assert details == [f"{Q}/models/Kling%20V2.1%2BMaster"]


async def test_pa6_what_is_not_listed_is_not_asked_for(world: World) -> None:
    for identifier in ("Kling+V2.1+Master", "Kling%2520V2.1%2BMaster", "Veo9", "%E2%82%AC", "a%2Fb"):
        refused(await world.keeping(get(f"{Q}/models/{identifier}")), 404, "model_not_found")
    assert {request.target for request in world.upstream.received} == {f"{Q}/models"}
