"""One input: signed anew if it says so, sent, its answer and what was executed judged."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections import Counter
from pathlib import Path

from euca_ec2.envelope import apart
from euca_ec2.request import Request

from .corpus import SOCKET, Way, seeds, signed_again, way_of
from .judge import Judge, Listener, Violation
from .mutation import Mutation
from .scene import KEY, WRITES, Scene, query

SLOW = 2.0  # seconds of processor time, of all threads
PATIENCE = 10.0  # seconds of real time for a connection to be answered or closed
ALIVE = 500  # turns from one good request through the socket to the next


class Fuzzer:
    def __init__(self, home: Path) -> None:
        self.listener = Listener()
        logging.getLogger().addHandler(self.listener)
        logging.getLogger("euca").setLevel(logging.ERROR)  # refusals are told as warnings, a million times
        self.scene = Scene(home)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self.judge = Judge()
        self.mutation = Mutation(self.scene)
        self.targets: Counter[str] = Counter()
        self.done = self.executed = self.renewals = 0
        self.seeds = seeds(self.scene)
        self._learn()
        self._serves()  # it has all its threads before it serves
        self._threads = threading.active_count()

    def close(self) -> None:
        self.scene.close()
        logging.getLogger().removeHandler(self.listener)
        logging.getLogger("euca").setLevel(logging.NOTSET)

    def _learn(self) -> None:
        for seed in self.seeds:
            if way_of(seed[0]) is Way.AS_IT_IS:
                self.scene.forget()
                status, _, body = self._in_process(query.taken_apart(seed[1:]))
                if not self.scene.executed:
                    raise AssertionError(f"a genuine request was answered {status}: {body!r}\n{seed!r}")
                self.judge.learn(self.scene.executed, seed[1:])
        self.scene.renew()

    def turn(self, data: bytes) -> bool:
        """False if the input can be no request.  Raises Violation."""
        if len(data) < 2:
            return False
        way, message = way_of(data[0]), data[1:]
        if way is not Way.AS_IT_IS:
            letter = _signed(way, query.taken_apart(message), self.scene.now)
            if letter is None:
                return False
            message = letter.with_length().bytes()
        self.scene.forget()
        began = time.process_time()
        if data[0] & SOCKET:
            received = self._through_socket(message)
        else:
            answer = self._in_process(query.taken_apart(message))
        took = time.process_time() - began
        self.listener.check()
        if data[0] & SOCKET:
            self.judge.answers(received, message)
        else:
            self.judge.answer(*answer, message)
        self.judge.execution(self.scene.executed, way, message, self.scene)
        if took > SLOW:
            raise Violation(f"one request took {took:.1f} s of processor time")
        self._count(data[0], message)
        return True

    def _count(self, control: int, message: bytes) -> None:
        self.done += 1
        self.executed += bool(self.scene.executed)
        self.targets[target_of(control, message)] += 1
        if self.done % ALIVE == 0:
            self.alive()
        if self.scene.writes >= WRITES:
            self.renewals += 1
            self.scene.renew()

    def alive(self) -> None:
        """A good request is answered, and no thread is left over."""
        self._serves()
        until = time.monotonic() + PATIENCE  # one that took too long has a deputy for as long as it takes
        while (threads := threading.active_count()) > self._threads:
            if time.monotonic() > until:
                raise Violation(f"{threads} threads, at first there were {self._threads}")
            time.sleep(0.01)

    def _serves(self) -> None:
        good = query.v4(KEY, {"Action": "DescribeRegions", "Version": "2016-11-15"}, self.scene.now)
        self.scene.forget()
        received = self._through_socket(good.with_length().bytes())
        if b" 200 OK\r\n" not in received or b"DescribeRegionsResponse" not in received:
            raise Violation(f"a good request was not served\n{received[:500]!r}")

    # ----------------------------------------------------------------------------------------------------- sending
    def _in_process(self, letter: query.Letter) -> tuple[int, str, bytes]:
        headers = tuple((name.lower(), value) for name, value in letter.headers)
        answer = self.scene.endpoint.respond(
            Request(letter.method, letter.path, letter.query, headers, letter.body)
        )
        return answer.status, answer.type, answer.body

    def _through_socket(self, message: bytes) -> bytes:
        """All that is answered until the connection is closed."""
        received, until = b"", time.monotonic() + PATIENCE
        try:
            with socket.create_connection(("127.0.0.1", self.scene.interface.port), timeout=PATIENCE) as sock:
                with contextlib.suppress(ConnectionError):  # it may be refused before it was all sent
                    sock.sendall(message)
                    sock.shutdown(socket.SHUT_WR)
                while time.monotonic() < until:
                    if not (piece := sock.recv(65536)):
                        return received
                    received += piece
        except ConnectionError:
            return received
        except TimeoutError:
            pass
        raise Violation(f"neither answered nor closed in {PATIENCE:.0f} s\n{received[:200]!r}")


def target_of(control: int, message: bytes) -> str:
    """By the signature that the request shows, and how it was sent."""
    head = message.partition(b"\r\n\r\n")
    if head[2][:64].lstrip().startswith(b"<"):
        kind = "SOAP"
    elif b"AWS4-HMAC-SHA256" in head[0] and b"X-Amz-Signature=" not in message:
        kind = "version 4"
    elif b"X-Amz-Signature=" in message:
        kind = "version 4, presigned"
    elif b"SignatureVersion=2" in message:
        kind = "version 2"
    elif b"SignatureVersion=1" in message:
        kind = "version 1"
    else:
        kind = "none that is known"
    return f"{kind}{', through a socket' if control & SOCKET else ''}"


def _signed(way: Way, letter: query.Letter, at: float) -> query.Letter | None:
    def sign() -> query.Letter | None:
        try:
            return signed_again(way, letter, at)
        except Exception:  # what cannot be signed by our own tool is not sent
            return None

    return apart(sign) if way is Way.SOAP else sign()


def rolled(fuzzer: Fuzzer, dice: random.Random, change) -> bytes:
    """An input made from the seeds alone, without coverage; half of them of those that are not signed anew."""
    some = (
        [seed for seed in fuzzer.seeds if way_of(seed[0]) is Way.AS_IT_IS]
        if dice.random() < 0.5
        else fuzzer.seeds
    )
    data = dice.choice(some)
    for _ in range(dice.choice((0, 1, 1, 1, 2))):
        data = fuzzer.mutation.changed(data, dice, change)
    return data


__all__ = ["Fuzzer", "Violation", "rolled"]
