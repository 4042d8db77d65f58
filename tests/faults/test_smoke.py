from tests.faults.conftest import *

async def test_x(world):
    r = await world.a.create()
    print(r.status_code, r.headers, r.text)
    assert r.status_code == 200
    await world.created()
    a = await world.keeping(head("GET", f"{Q}/nope"))
    print(a)
    refused(a, 404, "unknown_route")
    a = await world.closing(post(b"x"*100000, target=f"{Q}/nope"))
    print(a)
    print(await world.used())
    a = await world.ask(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
    print(a)
