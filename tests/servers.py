"""How a test's own server stops listening without losing a connection on the way."""

import asyncio


async def stop_listening(server: asyncio.Server) -> None:
    """Close the server, after every connection that it has accepted has reached its protocol.

    asyncio before 3.12 forgets, unclosed, a connection that was accepted in the turn in which its server is closed.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(3):
        await asyncio.sleep(0)
    server.close()
