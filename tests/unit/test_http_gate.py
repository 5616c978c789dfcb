"""Who reads a request answers it, and nobody has to wait for another: not for one that was wrongly said to be brief, nor
for one whose commit takes long, nor for a client that does not take its answer."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from euca_rpc.http import gate, lead
from euca_rpc.http.listener import Listener, Patience
from euca_rpc.http.ordinary import Direct, Ordinary, Reply
from euca_rpc.steps import Pending, Steps

AT_ONCE = 1.0  # seconds; a hundred times what it takes, because the machine may be busy
LARGE = bytes(range(256)) * (8 << 12)  # 8 MiB

Serve = Callable[..., Listener]


def said(body: bytes, status: int = 200) -> Reply:
    return Reply(status, (("Content-Length", str(len(body))),), body)


def plain(do: Callable[[], bytes]) -> Callable[[Ordinary], Steps[Reply]]:
    def steps(asked: Ordinary) -> Steps[Reply]:
        yield from ()
        return said(do())

    return steps


def waits_for(pending: Pending) -> Callable[[Ordinary], Steps[Reply]]:
    def steps(asked: Ordinary) -> Steps[Reply]:
        yield pending
        return said(pending.result(0))

    return steps


def thread_name() -> bytes:
    return threading.current_thread().name.encode()


def wsgi(environ, start_response):
    answer = b"wsgi in " + thread_name()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a listener that answers each path as it is told to; all but /worker… is said to be brief."""
    before, running = set(threading.enumerate()), []

    def start(paths, threads=4, patience=None, certificate=None) -> Listener:
        paths = {"/quick": plain(lambda: b"quick"), **paths}
        direct = Direct(lambda asked: paths[asked.target](asked), lambda asked: "/worker" not in asked.target)
        listener = Listener(
            "The test", wsgi, ("127.0.0.1", 0), threads, patience or Patience(), certificate, direct
        )
        running.append(listener)
        listener.start()
        return listener

    yield start
    for listener in running:
        listener.stop()
    assert eventually(lambda: set(threading.enumerate()) <= before), "threads are left behind"


class Client:
    def __init__(self, listener: Listener, receives: int = 0, wrapped=lambda sock: sock) -> None:
        """``receives``: bytes that its system takes before it reads."""
        self.sock = socket.socket()
        if receives:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", listener.port))
        self.sock = wrapped(self.sock)
        self.stream = self.sock.makefile("rb")
        self.head = b""

    def send(self, *paths: str, method: str = "GET") -> Client:
        self.sock.sendall(b"".join(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
        return self

    def answer(self) -> bytes | None:
        """The body of the next answer; None: the connection was closed."""
        self.head = b"".join(iter(self.stream.readline, b"\r\n")) if self.stream.peek(1) else b""
        if not self.head:
            return None
        length = int(self.head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return self.stream.read(length)

    def ask(self, path: str, method: str = "GET") -> bytes | None:
        return self.send(path, method=method).answer()

    def close(self) -> None:
        self.stream.close()
        self.sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def at_once(listener: Listener) -> None:
    began = time.monotonic()
    with Client(listener) as client:
        assert client.ask("/quick") == b"quick"
    assert time.monotonic() - began < AT_ONCE


def gate_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("gate-")]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class Stuck:
    """A handler that stays where it is."""

    def __init__(self) -> None:
        self.here, self.go_on = threading.Semaphore(0), threading.Event()

    def __call__(self) -> bytes:
        self.here.release()
        assert self.go_on.wait(20)
        return b"at last"

    def is_entered(self) -> None:
        assert self.here.acquire(timeout=5)


@pytest.fixture
def patient(monkeypatch) -> None:
    """The deputy does not take over: the leader can be held while requests arrive."""
    monkeypatch.setattr(lead, "STUCK", 60.0)


# ------------------------------------------------------------------------------------------------ not brief after all
@pytest.mark.parametrize("count", [1, 3])
def test_who_is_stuck_keeps_nobody_waiting(serve, count):
    stuck = Stuck()
    listener = serve({"/stuck": plain(stuck)})
    with contextlib.ExitStack() as stack:
        waiting = []
        for _ in range(count):
            waiting.append(stack.enter_context(Client(listener)).send("/stuck"))
            stuck.is_entered()
        for _ in range(3):
            at_once(listener)
        for client in waiting:
            client.sock.settimeout(0.01)
            with pytest.raises(TimeoutError):
                client.sock.recv(1)
            client.sock.settimeout(20)
        stuck.go_on.set()
        assert [client.answer() for client in waiting] == [b"at last"] * count
        assert [client.ask("/quick") for client in waiting] == [b"quick"] * count
    assert eventually(lambda: len(gate_threads()) == 2), "one leads, one stands by"
    at_once(listener)


def test_who_was_stuck_can_be_stuck_again_and_again(serve):
    events = [Stuck() for _ in range(5)]
    listener = serve({f"/stuck{n}": plain(stuck) for n, stuck in enumerate(events)}, threads=2)
    for n, stuck in enumerate(events):
        with Client(listener) as client:
            client.send(f"/stuck{n}")
            stuck.is_entered()
            at_once(listener)
            stuck.go_on.set()
            assert client.answer() == b"at last"


# ------------------------------------------------------------------------------------------------- waiting for a commit
@pytest.mark.parametrize("where", ["in hurry", "in another thread"])
def test_one_hurry_is_for_all_that_were_read_together(serve, patient, where):
    hold, story, waiting = Stuck(), [], []

    def commit() -> None:
        if where == "in another thread":
            time.sleep(0.05)
        for pending in waiting:
            if not pending.done():
                pending.set_result(thread_name())

    def hurry() -> None:
        story.append("hurry")
        if where == "in hurry":
            commit()
        elif story.count("hurry") == 1:
            threading.Thread(target=commit).start()

    def launch(asked: Ordinary) -> Steps[Reply]:
        story.append("begun")
        waiting.append(pending := Pending(hurry))
        yield pending
        return said(pending.result(0))

    listener = serve({"/hold": plain(hold), "/launch": launch})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(listener)) for _ in range(8)]
        assert [client.ask("/quick") for client in clients] == [b"quick"] * 8
        holds = stack.enter_context(Client(listener)).send("/hold")
        hold.is_entered()
        for client in clients:
            client.send("/launch")
        hold.go_on.set()
        assert holds.answer() == b"at last"
        answers = [client.answer() for client in clients]
        assert all(name.startswith(b"gate-") == (where == "in hurry") for name in answers)
        assert story[:9] == ["begun"] * 8 + ["hurry"]
        assert where != "in hurry" or story.count("hurry") == 1
        assert [client.ask("/quick") for client in clients] == [b"quick"] * 8


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_who_goes_away_while_its_answer_waits_harms_nobody(serve, how):
    pending = Pending(lambda: None)
    listener = serve({"/launch": waits_for(pending)})
    with Client(listener) as stays:
        assert stays.ask("/quick") == b"quick"
        files = open_files()
        goes = Client(listener).send("/launch")
        stays.send("/launch")
        at_once(listener)  # read after the others, so they are waiting
        if how == "reset":
            goes.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        goes.close()
        spent = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - spent < 0.2, "a connection that is gone is looked at again and again"
        pending.set_result(b"done")
        assert stays.answer() == b"done"
        assert stays.ask("/quick") == b"quick"
        assert eventually(lambda: open_files() == files)
    at_once(listener)


def test_a_commit_that_ends_while_the_leader_is_stuck_is_answered(serve):
    pending, stuck = Pending(lambda: None), Stuck()
    listener = serve({"/launch": waits_for(pending), "/stuck": plain(stuck)})
    with Client(listener) as waits, Client(listener) as sits:
        waits.send("/launch")
        at_once(listener)
        sits.send("/stuck")
        stuck.is_entered()
        began = time.monotonic()
        pending.set_result(b"done")
        assert waits.answer() == b"done"
        assert time.monotonic() - began < AT_ONCE
        stuck.go_on.set()
        assert sits.answer() == b"at last"


def test_a_commit_that_another_thread_ends_wakes_the_leader(serve, monkeypatch):
    monkeypatch.setattr(gate, "TURN", 20.0)  # it would look by itself then
    pending = Pending(lambda: None)
    listener = serve({"/launch": waits_for(pending)})
    with Client(listener) as waits:
        waits.send("/launch")
        at_once(listener)
        time.sleep(0.1)  # nothing else is to do
        began = time.monotonic()
        pending.set_result(b"done")
        assert waits.answer() == b"done"
        assert time.monotonic() - began < AT_ONCE


def test_who_is_stuck_in_a_commit_keeps_nobody_waiting(serve):
    stuck = Stuck()
    pending = Pending(lambda: pending.set_result(stuck()))
    listener = serve({"/launch": waits_for(pending)})
    with Client(listener) as client:
        client.send("/launch")
        stuck.is_entered()
        at_once(listener)
        stuck.go_on.set()
        assert client.answer() == b"at last"


# --------------------------------------------------------------------------------------------------------- failures
def raises() -> bytes:
    raise ZeroDivisionError


def exits() -> bytes:
    raise SystemExit


def cannot_be_written(asked: Ordinary) -> Steps[Reply]:
    yield from ()
    return said(b"", 799)


def fails_later(asked: Ordinary) -> Steps[Reply]:
    pending = Pending(lambda: pending.set_exception(ZeroDivisionError()))
    yield pending
    return said(pending.result(0))


@pytest.mark.parametrize("steps", [plain(raises), plain(exits), cannot_be_written, fails_later])
def test_an_error_in_an_answer_closes_its_connection_only(serve, caplog, steps):
    listener = serve({"/error": steps})
    with Client(listener) as other:
        assert other.ask("/quick") == b"quick"
        for _ in range(5):
            began = time.monotonic()
            with Client(listener) as client:
                assert client.ask("/error") is None
            assert time.monotonic() - began < AT_ONCE
            assert other.ask("/quick") == b"quick"
    assert caplog.text.count("a request was not answered") == 5
    assert len(gate_threads()) == 2


def test_an_error_in_a_hurry_does_not_make_a_second_leader(serve, caplog):
    hurried = threading.Event()

    def hurry() -> None:
        hurried.set()
        raises()

    pending = Pending(hurry)
    listener = serve({"/launch": waits_for(pending)})
    with Client(listener) as waits:
        waits.send("/launch")
        assert hurried.wait(5)
        time.sleep(4 * lead.STUCK)  # in nothing
        assert len(gate_threads()) == 2
        assert "ZeroDivisionError" in caplog.text
        at_once(listener)
        pending.set_result(b"done")  # by somebody else's commit
        assert waits.answer() == b"done"


# ---------------------------------------------------------------------------------------------------- large answers
def test_a_large_answer_to_a_slow_reader_delays_nobody_and_arrives_whole(serve):
    listener = serve({"/large": plain(lambda: LARGE)})
    with Client(listener, receives=32768) as slow:
        slow.send("/large", "/quick")
        for _ in range(3):
            time.sleep(0.05)
            at_once(listener)
        assert slow.answer() == LARGE
        assert slow.answer() == b"quick"


def test_who_never_takes_its_answer_is_shut(serve):
    listener = serve({"/large": plain(lambda: LARGE)}, patience=Patience(answer=0.5))
    with Client(listener, receives=4096) as never:
        never.send("/large")
        time.sleep(1.0)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := never.sock.recv(1 << 16):
                got += len(piece)
        assert got < len(LARGE)
    at_once(listener)


def test_over_tls_it_is_a_workers_and_shut_as_well(serve, tmp_path):
    pair = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-out", pair[0], "-keyout", pair[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    paths = {"/large": plain(lambda: LARGE), "/who": plain(thread_name)}
    listener = serve(paths, 1, Patience(answer=0.5), pair)
    context = ssl.create_default_context(cafile=pair[0])

    def client() -> Client:
        return Client(listener, 0, lambda sock: context.wrap_socket(sock, server_hostname="localhost"))

    with client() as slow, client() as other:
        slow.send("/large")  # the one worker's, for as long as it may take
        got = 0
        with contextlib.suppress(ConnectionResetError):  # but nothing that is not TLS
            for turn in range(1000):
                time.sleep(0.1 if turn % 16 == 0 and turn < 160 else 0.0)  # no single write takes too long
                got += len(slow.sock.recv(1 << 14))
        assert got < len(LARGE)
        assert other.ask("/who").startswith(b"CP Server")


def test_of_too_many_that_do_not_take_their_answers_the_oldest_is_shut(serve, monkeypatch):
    monkeypatch.setattr(gate, "MOST_WAITING", 3)
    listener = serve({"/large": plain(lambda: LARGE)})
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(4):
            slow.append(stack.enter_context(Client(listener, receives=4096)).send("/large"))
            at_once(listener)
        with contextlib.suppress(ConnectionResetError):
            assert slow[0].answer() != LARGE
        assert slow[-1].answer() == LARGE


# ------------------------------------------------------------------------------------------------------- sent ahead
@pytest.mark.parametrize("closes", [False, True])
def test_requests_sent_ahead_are_answered_in_order(serve, closes):
    paths = [f"/{n}" for n in range(3000)]  # more than are read at once, and than Python calls deep
    listener = serve({path: plain(path.encode) for path in paths})
    with Client(listener) as client:
        sends = threading.Thread(target=client.send, args=paths)
        sends.start()
        if closes:
            sends.join()
            client.sock.shutdown(socket.SHUT_WR)
        assert [client.answer() for _ in paths] == [path.encode() for path in paths]
        sends.join()
        assert client.answer() is None if closes else client.ask("/quick") == b"quick"


def test_who_sends_ahead_leaves_others_their_turn(serve, patient):
    hold, story = Stuck(), []
    paths = {
        "/hold": plain(hold),
        "/ahead": plain(lambda: story.append("ahead") or b""),
        "/other": plain(lambda: story.append("other") or b""),
    }
    listener = serve(paths)
    with Client(listener) as ahead, Client(listener) as other:
        assert other.ask("/quick") == b"quick"
        ahead.send("/hold", *["/ahead"] * 300)
        hold.is_entered()
        other.send("/other")
        hold.go_on.set()
        assert other.answer() == b""
        assert [ahead.answer() for _ in range(301)] == [b"at last"] + [b""] * 300
    assert story.index("other") < 3


def test_who_waits_for_continue_after_a_request_sent_ahead_is_told_to(serve):
    listener = serve({})
    one = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
    with Client(listener) as client:
        client.sock.settimeout(3)
        client.sock.sendall(
            one + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.answer() == b"quick"
        assert client.stream.readline().startswith(b"HTTP/1.1 100 ")


def test_brief_and_other_requests_take_turns_on_one_connection(serve):
    listener = serve({"/brief": plain(thread_name), "/worker": plain(thread_name)})
    with Client(listener) as client:
        for _ in range(5):
            assert client.ask("/brief").startswith(b"gate-")
            assert not client.ask("/worker").startswith(b"gate-")
            assert client.ask("/quick") == b"quick"
            assert client.ask("/brief", method="PUT").startswith(b"wsgi in ")
        client.send(*["/brief", "/worker", "/quick"] * 5)
        for _ in range(5):
            assert client.answer().startswith(b"gate-")
            assert not client.answer().startswith(b"gate-")
            assert client.answer() == b"quick"


# ---------------------------------------------------------------------------------------------------------- the end
def test_stop_answers_what_waits_for_a_commit(serve):
    pending = Pending(lambda: None)
    listener = serve({"/launch": waits_for(pending)})
    with Client(listener) as client, Client(listener) as rests, ThreadPoolExecutor(1) as pool:
        assert rests.ask("/quick") == b"quick"
        client.send("/launch")
        at_once(listener)
        began = time.monotonic()
        stopped = pool.submit(listener.stop)
        time.sleep(0.3)
        assert not stopped.done()
        pending.set_result(b"done")
        assert client.answer() == b"done"
        assert b"\r\nConnection: close\r\n" in client.head
        assert client.answer() is None
        assert rests.answer() is None
        stopped.result(10)
        assert time.monotonic() - began < 4
    assert not gate_threads()


def test_stop_answers_who_is_stuck_if_it_is_not_for_long(serve):
    stuck = Stuck()
    listener = serve({"/stuck": plain(stuck)})
    with Client(listener) as client, ThreadPoolExecutor(1) as pool:
        client.send("/stuck")
        stuck.is_entered()
        at_once(listener)  # the deputy leads now
        stopped = pool.submit(listener.stop)
        time.sleep(0.3)
        stuck.go_on.set()
        assert client.answer() == b"at last"
        assert client.answer() is None
        stopped.result(10)
    assert not gate_threads()


def test_stop_leaves_no_connection_open_whose_commit_does_not_end(serve, monkeypatch):
    monkeypatch.setattr(gate, "STOP_SECONDS", 0.5)
    pending, stuck = Pending(lambda: None), Stuck()
    listener = serve({"/launch": waits_for(pending), "/stuck": plain(stuck)})
    with Client(listener) as waits, Client(listener) as sits:
        waits.send("/launch")
        at_once(listener)
        sits.send("/stuck")
        stuck.is_entered()
        at_once(listener)
        listener.stop()
        assert waits.answer() is None
        assert sits.answer() is None
        stuck.go_on.set()
        pending.set_result(b"too late")


def test_stop_of_what_never_started_returns_at_once():
    listener = Listener("The test", wsgi, ("127.0.0.1", 0), 2, Patience(), direct=Direct(plain(thread_name)))
    began = time.monotonic()
    listener.stop()
    assert time.monotonic() - began < AT_ONCE


def test_an_idle_listener_is_not_awake(serve):
    """The leader looks at deadlines twice a second, the deputy not at all."""
    listener = serve({})
    at_once(listener)

    def switches() -> int:
        """How often the gate's threads have gone to sleep so far."""
        told = [Path(f"/proc/self/task/{t.native_id}/status").read_text() for t in gate_threads()]
        return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in told)

    time.sleep(2 * gate.TURN + 0.2)
    before = switches()
    time.sleep(1.0)
    assert switches() - before <= 8  # a deputy that looks would do so twenty times
    listener.stop()  # and it is woken for the end
    assert not gate_threads()
