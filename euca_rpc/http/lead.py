"""One thread at a time leads; a deputy stands by.

    leader: waits for the network, and sees to what is brief, by itself    ──inside one thing for longer than STUCK──┐
    deputy: looks at the leader now and then while there is work  ◄──────────────── leads on from there ─────────────┘

A thread that hands each request to another pays for two changes of threads, and what many threads do at once they do in
each other's way.  So the thread that reads a request also answers it.  That would be no good if one of them took long, so
nothing depends on it that none does: whoever leads says when it enters something and when it is out again, and one that
does not come out is left inside by the others.  When it does, it is told that it leads no more, and stands by.

Only the leader touches what the leader owns.  An idle server has no thread that looks at anything.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

STUCK = 0.05  # seconds inside one thing, then the deputy leads on


class Lead:
    def __init__(self, name: str, lead: Callable[[], None], most: int) -> None:
        """``lead``: what a leader does, until `out` tells it that it is none any more, or `ended`.  ``most``: threads, of
        which all but one may be stuck."""
        self._name, self._lead, self._most = name, lead, most
        self._lock = threading.Lock()
        self._leader = 0  # its thread
        self._deputy = 0
        self._since = 0.0  # when the leader entered what it is in; 0: it is in nothing
        self._work = threading.Event()  # there is something that a leader could be stuck in
        self._threads: set[threading.Thread] = set()
        self.ended = threading.Event()

    def start(self) -> None:
        with self._lock:
            self._add()

    @property
    def started(self) -> bool:
        return bool(self._leader or self._threads)

    def stop(self, seconds: float) -> None:
        """Ends the threads; one that is stuck is left to itself after ``seconds``."""
        self.ended.set()
        self._work.set()
        until = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    # ------------------------------------------------------------------------------------- called by the leader
    def leads(self) -> bool:
        """Is it the caller?  Asked by any thread."""
        return self._leader == threading.get_ident()

    def enter(self) -> None:
        self._since = time.monotonic()
        if not self._work.is_set():
            self._work.set()

    def out(self) -> bool:
        """False: another leads meanwhile, and nothing of the leader's may be touched any more."""
        with self._lock:
            if self._leader != threading.get_ident():
                return False
            self._since = 0.0
            return True

    def rests(self) -> None:
        """Nothing has come for a while."""
        self._work.clear()

    # ---------------------------------------------------------------------------------------------- the threads
    def _add(self) -> None:
        thread = threading.Thread(target=self._live, name=f"{self._name}-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.add(thread)

    def _live(self) -> None:
        while self._stand_by():
            self._lead()

    def _stand_by(self) -> bool:
        """True: it leads now.  False: another stands by already, or it is all over."""
        me = threading.get_ident()
        with self._lock:
            if not self._leader:
                return self._takes(me)
            if self._deputy:
                self._threads.discard(threading.current_thread())
                return False
            self._deputy = me
        while not self.ended.is_set():
            self._work.wait()
            since = self._since
            if since and time.monotonic() - since >= STUCK:
                with self._lock:
                    if self._since == since:  # still in the same
                        return self._takes(me)
            self.ended.wait(STUCK)
        return False

    def _takes(self, me: int) -> bool:
        if self.ended.is_set():
            return False
        self._leader, self._deputy, self._since = me, 0, 0.0
        if len(self._threads) < self._most:
            with contextlib.suppress(RuntimeError):  # the system has no thread left; it leads all the same
                self._add()  # the next deputy
        return True
