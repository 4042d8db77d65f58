"""Several processes that serve the same sockets, and the one that looks after them.

The parent opens nothing but the sockets, runs no event loop and no thread, and therefore may fork at any time:

    starting ──▶ first worker serves ──▶ the others are forked ──▶ all serve: their lines are announced
    serving  ──▶ a worker ends ──▶ another one takes its place, after a pause that grows while they keep ending
    serving  ──▶ what all of them need ends ──▶ ending, with status 1
    ending   ──▶ every worker is told to end, and the parent ends with the last of them

The first worker begins alone, because it may have to migrate the ledger, and because what is wrong with the settings
need be said only once. A worker ends by itself when its parent is gone: it holds the reading end of a pipe whose
writing end only the parent has.
"""

import itertools
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TextIO

from gateway.logs import log_event

FIRST_PAUSE = 1.0
"""Seconds before a worker that ended is replaced; twice as long each time it ends again within `STEADY`."""

LONGEST_PAUSE = 30.0
STEADY = 60.0
"""Seconds after which a worker's end says nothing about its successor."""

LISTENERS = 2
"""Lines a worker announces, one for each listener, when it serves."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_ENDINGS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given: its number, where it announces that it serves, and what tells it that it is alone.

    `name` is no other worker's, nor that of one whose place it takes. `lifeline` becomes readable, at its end, when the
    parent is gone.
    """

    number: int
    name: str
    announce: TextIO
    lifeline: int


Work = Callable[[Post], int]
"""Serve until told to end; the exit status."""


@dataclass(slots=True)
class _Worker:
    number: int
    name: str
    pid: int
    pipe: int
    started: float
    announced: bytes = b""
    serves: bool = False
    closed: bool = False
    """Its pipe has come to an end: it is about to be buried."""


def become(work: Callable[[], int]) -> NoReturn:
    """The rest of a forked process's life: do the work, and end with its status.

    A process group of its own keeps a terminal's Ctrl-C to the parent alone, which passes it on as SIGTERM.
    """
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that is still starting reads the newest policies anyway
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.setpgid(0, 0)
    status = 1
    try:
        status = work()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 0
    finally:
        fault = sys.exception()
        if fault is not None:
            sys.excepthook(type(fault), fault, fault.__traceback__)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def pause_after(lived: float, last: float) -> float:
    """Seconds for which the place of a worker that `lived` so long is left empty.

    `last` is what they were when its own predecessor ended, 0 where it had none.
    """
    return FIRST_PAUSE if lived > STEADY else min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * last))


class Supervisor:
    """Keeps `count` workers doing `work`. What the first one announces is written to `announce` once all serve.

    `clear_away` is told the name of one that ended, when another takes its place. `inherited` are sockets
    every worker begins with, closed here once the end was asked for. `needed` is a process of this one's that they
    cannot do without: its end is theirs.
    """

    def __init__(
        self,
        count: int,
        work: Work,
        announce: TextIO,
        clear_away: Callable[[str], None],
        *,
        inherited: Sequence[socket.socket] = (),
        needed: int | None = None,
    ) -> None:
        self._count = count
        self._work = work
        self._announce = announce
        self._clear_away = clear_away
        self._inherited = inherited
        self._needed = needed
        self._names = map(str, itertools.count(1))
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, tuple[float, str]] = {}
        """When a worker's place is to be taken, and the name of the one that had it."""
        self._pauses = dict.fromkeys(range(count), 0.0)
        """How long each worker's place was left empty the last time."""
        self._announced = False
        self._ending = False
        self._status = 0
        self._wake, self._woken = os.pipe()
        self._lifeline, self._life = os.pipe()

    def run(self) -> int:
        """Until every worker has ended; the worst of their statuses since the end was asked for."""
        with self._signals():
            self._start(0)
            while self._workers or (self._due and not self._ending):
                self._wait()
                self._start_due()
        return self._status

    def _wait(self) -> None:
        """For a signal, a worker's words, or the time at which one is to be replaced."""
        pipes = {worker.pipe: worker for worker in self._workers.values() if not (worker.serves or worker.closed)}
        patience = max(0.0, min(self._due.values())[0] - time.monotonic()) if self._due else None
        ready, _, _ = select.select([self._wake, *pipes], [], [], patience)
        for pipe in ready:
            if pipe in pipes:
                self._listen(pipes[pipe])
        if self._wake in ready:
            for number in os.read(self._wake, 4096):
                self._heed(signal.Signals(number))

    def _listen(self, worker: _Worker) -> None:
        heard = os.read(worker.pipe, 4096)
        worker.closed = not heard
        worker.announced += heard
        worker.serves = worker.announced.count(b"\n") >= LISTENERS
        if self._announced or self._ending or not worker.serves:
            return
        if len(self._workers) < self._count:
            for number in range(1, self._count):
                self._start(number)
        elif all(each.serves and not each.closed for each in self._workers.values()):
            self._announced = True
            self._announce.write(worker.announced.decode())
            self._announce.flush()

    def _heed(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._bury()
        elif number in _ENDINGS:
            self._end()
        else:
            self._tell(number)

    def _end(self) -> None:
        """There will be no more workers. Without them a socket kept here would take connections nobody answers."""
        self._ending = True
        for each in self._inherited:
            each.close()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    def _bury(self) -> None:
        """See which workers have ended. Before all served, or after the end was asked for, that is the end of it."""
        if self._needed is not None and os.waitpid(self._needed, os.WNOHANG)[0]:
            log_event(logging.ERROR, "simulator ended")
            self._needed = None
            self._status = 1
            self._end()
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                del self._workers[worker.pid]
                os.close(worker.pipe)
                self._replace(worker, os.waitstatus_to_exitcode(status))

    def _replace(self, worker: _Worker, status: int) -> None:
        if not self._announced and not self._ending:
            self._end()
        if self._ending:
            self._status = max(self._status, abs(status))
            return
        now = time.monotonic()
        pause = pause_after(now - worker.started, self._pauses[worker.number])
        self._pauses[worker.number] = pause
        self._due[worker.number] = (now + pause, worker.name)
        log_event(logging.ERROR, "worker ended", worker=worker.number, status=status, again_in=pause)

    def _start_due(self) -> None:
        now = time.monotonic()
        for number, (_, name) in [each for each in self._due.items() if each[1][0] <= now]:
            del self._due[number]
            if not self._ending:
                self._clear_away(name)
                self._start(number)

    def _start(self, number: int) -> None:
        name = next(self._names)
        ours, theirs = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # one sent to the child at once must not be lost in it
        pid = os.fork()
        if pid == 0:
            for end in (ours, self._life, self._wake, self._woken, *(each.pipe for each in self._workers.values())):
                os.close(end)
            become(lambda: self._work(Post(number, name, os.fdopen(theirs, "w"), self._lifeline)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(theirs)
        self._workers[pid] = _Worker(number, name, pid, ours, time.monotonic())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals wake the parent and do nothing else; afterwards they mean again what they meant."""
        os.set_blocking(self._woken, False)
        before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (self._wake, self._woken, self._lifeline, self._life):
                os.close(end)
