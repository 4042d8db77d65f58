"""The table of routes is the contract's, and each call takes the scope it should."""

from gateway.core.policy import Scope
from gateway.upstream.request import PREFIX
from gateway.web.public_routes import public_routes


def test_the_routes_their_methods_and_scopes() -> None:
    table = public_routes().routes
    keyed = [route for route in table if not route.is_open]
    scopes = {(route.label, method): facts.scope for route in keyed for method, facts in route.methods.items()}
    assert scopes == {
        ("/models", "GET"): Scope.MODELS,
        ("/models", "HEAD"): Scope.MODELS,
        ("/models/{id}", "GET"): Scope.MODELS,
        ("/models/{id}", "HEAD"): Scope.MODELS,
        ("/requests", "GET"): Scope.JOBS_READ,
        ("/requests", "HEAD"): Scope.JOBS_READ,
        ("/requests", "POST"): Scope.JOBS,
        ("/requests/{id}", "GET"): Scope.JOBS_READ,
        ("/requests/{id}", "HEAD"): Scope.JOBS_READ,
        ("/requests/{id}", "DELETE"): Scope.JOBS,
        ("/upload-url", "POST"): Scope.UPLOADS,
        ("/gateway/v1/usage", "GET"): None,
        ("/gateway/v1/usage", "HEAD"): None,
        ("/gateway/v1/explain", "POST"): Scope.JOBS,
        ("/gateway/v1/requests/{id}/artifacts", "GET"): Scope.JOBS_READ,
        ("/gateway/v1/requests/{id}/artifacts", "HEAD"): Scope.JOBS_READ,
        ("/gateway/v1/requests/{id}/artifacts/{name}", "GET"): Scope.JOBS_READ,
        ("/gateway/v1/requests/{id}/artifacts/{name}", "HEAD"): Scope.JOBS_READ,
        ("/gateway/v1/uploads/{token}", "PUT"): Scope.UPLOADS,
        ("/gateway/v1/requests/{id}/events", "GET"): Scope.JOBS_READ,
        ("/gateway/v1/requests/{id}/events", "HEAD"): Scope.JOBS_READ,
    }


def test_what_needs_no_key_is_the_team_page_and_the_document_to_be_read() -> None:
    opened = [route for route in public_routes().routes if route.is_open]
    assert [route.path for route in opened] == [
        "/gateway/",
        "/gateway/page.css",
        "/gateway/page.js",
        "/gateway/thumbnails.js",
        "/gateway/team.js",
        "/gateway/v1/openapi.json",
    ]
    for route in opened:
        assert (set(route.methods), route.pattern, route.label) == ({"GET", "HEAD"}, None, route.path)


def test_ids_keep_to_their_folder() -> None:
    find = public_routes().find
    for path in (
        f"{PREFIX}/requests/0d9b3f0e-6a51-4c1e-9d53-0c6a4c2f7f11",
        f"{PREFIX}/models/Kling%20V2.1",
        f"{PREFIX}/models/a+b",
    ):
        found = find(path.encode())
        assert found is not None
        assert found[1] == path.rpartition("/")[2]
    for path in ("requests/..", "requests/-a", "requests/" + "a" * 129, "models/a%2", "models/ä", "models/a b"):
        assert find(f"{PREFIX}/{path}".encode()) is None
