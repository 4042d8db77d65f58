"""A process that serves: from its first listening line to its exit status."""

import asyncio
import ctypes
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

from gateway.logs import log_event
from gateway.server.limits import raise_open_files
from gateway.server.listener import Bind, Listener, listen

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Seconds a thread keeps the interpreter while another waits for it. At Python's own 5 ms the ledger's thread, which
asks for it at every statement, would get a busy loop's leavings."""

COLLECT_EVERY = 20_000
"""Objects made and not gone again before cycles are looked for. At Python's own 700 (2 000 from 3.13) the looking takes
a twentieth of the time of a busy gateway, and hardly ever finds any."""

_LARGEST_KEPT = 32 * 1024**2
"""Bytes of one allocation up to which it is kept. glibc takes no larger value."""

# mallopt(3), malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_LEAST_SECONDS = 1.0
"""What a listener gets to finish when those before it used up the time: the admin listener ends last."""


def run_in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in an event loop of its own, on uvloop where there is one."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def share_the_interpreter() -> None:
    """Let the threads beside the loop have their turns in time."""
    sys.setswitchinterval(SWITCH_INTERVAL)


def keep_freed_memory(most: int) -> None:
    """Keep so many bytes of what large bodies leave, for those that follow: the kernel clears pages it gives anew.

    glibc would give it back each time, and take it again at a third of what a large create costs. Threads share one
    pool, so that no more than that is kept: those that are begun from now on. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, most)
        mallopt(_M_MMAP_THRESHOLD, min(most, _LARGEST_KEPT))
        mallopt(_M_ARENA_MAX, 1)


def collect_seldom() -> None:
    """What there is by now stays; to find that out, each full collection would halt every call for 50 ms."""
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


@dataclass(frozen=True, slots=True)
class Drain:
    """How a process ends, in seconds: still accepting for `delay`, then at most `timeout` for what is in flight."""

    delay: float
    timeout: float


class Ending:
    """Whether the process was asked to end, and whether it was asked twice: then nothing is waited for.

    Made in the event loop before anything is opened: from then on SIGTERM and SIGINT ask, and no SIGHUP kills a start.
    The handlers stay to the end: a late signal must not kill the process while it closes its ledger.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.shut = asyncio.Event()
        """The ports are wanted, or nobody is waited for: the delay of the drain is over."""
        self.listeners: list[Listener] = []
        self._told = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)
        self.on_reload(lambda: None)

    def on_reload(self, reload: Callable[[], None]) -> None:
        """From now on SIGHUP calls `reload`."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)

    def on_silence(self, lifeline: int) -> None:
        """When this file descriptor comes to its end, accept nothing more and end: its other end's holder is gone.

        Whoever takes that one's place needs the ports at once. What is in flight is drained all the same, also when a
        signal follows: service managers send one to what a dead process left.
        """
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.remove_reader(lifeline)
            log_event(logging.ERROR, "parent ended")
            self.shut.set()
            for listener in self.listeners:
                listener.stop_accepting()
            self.asked.set()

        loop.add_reader(lifeline, end)

    def ask(self) -> None:
        """A signal to end."""
        if self._told:
            self.hurried.set()
            self.shut.set()
            for listener in self.listeners:
                listener.cut_off()
        self._told = True
        self.asked.set()


async def run(
    binds: Sequence[Bind],
    drain: Drain,
    ending: Ending,
    *,
    on_drain: Callable[[], None],
    announce: TextIO,
) -> int:
    """Serve until asked to end, and return the exit status: 0, or 1 if a response had to be cut off.

    When all listeners accept, one `listening on` line each is written to `announce`. The first signal calls
    `on_drain` and begins the drain, a second one ends it at once; who was asked before does not begin to listen.
    Listeners finish in the order given. Raises what `listen` raises, with none left open.
    """
    raise_open_files()
    try:
        if ending.asked.is_set():
            return 0
        for bind in binds:
            ending.listeners.append(await listen(bind))
        announce.writelines(f"listening on {each.url} ({each.label})\n" for each in ending.listeners)
        announce.flush()
        await ending.asked.wait()
        on_drain()
        await _drain(ending, drain)
    finally:
        for listener in ending.listeners:
            await listener.finish(0)
        for bind in binds:
            bind.sock.close()
    return 1 if any(listener.cut for listener in ending.listeners) else 0


async def _drain(ending: Ending, drain: Drain) -> None:
    log_event(logging.INFO, "draining")
    for listener in ending.listeners:
        listener.begin_drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(drain.delay):
            await ending.shut.wait()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + drain.timeout
    for listener in ending.listeners:
        left = 0 if ending.hurried.is_set() else max(_LEAST_SECONDS, deadline - loop.time())
        await listener.finish(left)
        if listener.cut:
            log_event(logging.WARNING, "responses were cut off", count=listener.cut, listener=listener.label)
