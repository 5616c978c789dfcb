"""The benchmark's own parts: its arithmetic, its load generator, its bytes, its table."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import kept, placement, report
from bench.figures import Side, more, percentile, ratios, slower, spread
from bench.load import Job, run
from bench.signed import HOST, Signer
from bench.soap import SoapSigner
from euca_ec2.request import Request
from euca_ec2.signing import verify
from euca_ec2.wssecurity import verify as verify_soap
from euca_rpc.cli.people import CERTIFICATE_FILE, PRIVATE_KEY_FILE
from euca_rpc.clock import SystemClock
from euca_rpc.cloud.credentials import make_certificate
from euca_rpc.nouns import Credential
from euca_rpc.types import Caller


@pytest.fixture
def server():
    """Answers each connection's requests with what the test put in; notes what came."""
    listener = socket.create_server(("127.0.0.1", 0))
    answers: list[list[bytes]] = []
    seen: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while answers and (piece := client.recv(65536)):
                    seen.append(piece)
                    for part in answers.pop(0):
                        client.sendall(part)
                    if b"HTTP/1.0" in part or b"HTTP/1.0" in seen[-1]:
                        break

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], answers, seen
    listener.close()


def whole(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def test_percentiles_are_values_that_were_seen():
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, part) for part in (0.5, 0.9, 0.99)] == [50.0, 90.0, 99.0]
    assert percentile([7.0], 0.99) == 7.0


def test_ratios_are_taken_within_each_round():
    """The machine was twice as slow in the second round: the ratio does not show it."""
    ours, theirs = Side([100.0, 50.0]), Side([10.0, 5.0])
    seen = ratios(ours, theirs)
    assert (seen.low, seen.middle, seen.high) == (10.0, 10.0, 10.0)
    with pytest.raises(ValueError, match="pairs"):
        ratios(ours, Side([1.0]))


def test_kept_alive_connections_are_used_again(server):
    port, answers, seen = server
    answers += [[whole(b"one")], [whole(b"two")], [whole(b"three")]]
    result = run(Job("127.0.0.1", port, [b"GET 1", b"GET 2", b"GET 3"]))
    assert result.connects == 1
    assert seen == [b"GET 1", b"GET 2", b"GET 3"]
    assert result.bodies == {0: b"one", 2: b"three"}
    assert result.received == 11
    assert len(result.latencies) == 3
    assert min(result.latencies) > 0


def test_an_answer_in_pieces_is_read_to_its_end(server):
    port, answers, _ = server
    text = whole(b"x" * 100_000)
    answers += [[text[:10], text[10:60], text[60:]]]
    result = run(Job("127.0.0.1", port, [b"GET"]))
    assert result.bodies[0] == b"x" * 100_000


def test_a_server_that_closes_gets_a_new_connection_each_time(server):
    port, answers, _ = server
    answers += [[b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"], [b"HTTP/1.0 200 OK\r\n\r\nabc"]]
    result = run(Job("127.0.0.1", port, [b"GET 1", b"GET 2"]))
    assert result.connects == 2
    assert result.bodies == {0: b"ab", 1: b"abc"}


def test_a_refusal_is_not_counted_as_an_answer(server):
    port, answers, _ = server
    answers += [[whole(b"no", 503)]]
    result = run(Job("127.0.0.1", port, [b"GET"]))
    assert result.refused == {0: (503, b"no")}
    assert not result.bodies


def test_the_signed_bytes_are_what_the_endpoint_verifies():
    data = Signer("AKIDBENCH", "secret").launch("emi-1a2b3c4d", "token-1")
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    method, path, _ = line.split(" ")
    headers = tuple((name.lower(), value) for name, _, value in (one.partition(": ") for one in lines))
    caller = Caller("u-1", "bench", "000000000001", False)
    request = Request(method, path, "", headers, body)
    seen = verify(request, lambda key: Credential(caller, "secret"), SystemClock().wall())
    assert seen.parameters["ClientToken"] == "token-1"
    assert request.header("host") == HOST


def test_differences_are_taken_within_each_round_too():
    """Each round's medians: the slow second round of both says nothing of them."""
    soap, query = Side(), Side()
    for factor in (1.0, 10.0):
        soap.add(1.0, [factor * n for n in (2.0, 3.0, 30.0)], 1)
        query.add(1.0, [factor * n for n in (1.0, 1.5, 2.0)], 1)
    assert slower(soap, query).middle == 2.0
    assert (more(soap, query).low, more(soap, query).high) == (1.5, 15.0)


def test_the_signed_soap_message_is_what_the_endpoint_verifies(tmp_path):
    der, certificate, private = make_certificate("bench", SystemClock().wall())
    (tmp_path / CERTIFICATE_FILE).write_text(certificate)
    (tmp_path / PRIVATE_KEY_FILE).write_text(private)
    signer = SoapSigner(tmp_path, "2008-12-01")
    caller = Caller("u-1", "bench", "000000000001", False)
    seen = []
    for _ in range(2):
        body = signer.launch("emi-1a2b3c4d").partition(b"\r\n\r\n")[2]
        seen.append(verify_soap(body, lambda given: caller if given == der else None, SystemClock().wall()))
    assert seen[0].caller == caller
    assert seen[0].element.findtext("{*}imageId") == "emi-1a2b3c4d"
    assert seen[0].signature != seen[1].signature  # each message is another one: none is a replay


SIDE = {"rate_median": 10.0, "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "tail": 3.0}


def found(commit: str, at: str, ratio: float) -> dict:
    """A whole run's figures, each ratio the same."""
    per = {"us_per_instance": 5.0, "ns_per_byte": 6.0, "bytes_per_instance": 900}
    spreads = {"min": ratio - 0.1, "median": ratio, "max": ratio + 0.1}
    machine = {
        **dict.fromkeys(("processor", "python", "kernel"), "x"),
        **dict.fromkeys(("cores", "memory_gb", "load_before", "load_after"), 2),
    }
    row = {"name": "DescribeInstances, 1,000", "connections": 1, "instances": 1000, "ratio": spreads}
    row |= {"euca": {**SIDE, **per}, "moto": {**SIDE, **per}}
    both = {"alone": 1.0, "crowd": 9.0}
    return {
        "machine": {**machine, "commit": commit, "at": at},
        "fdatasync": {"median_ms": 0.2, "p99_ms": 0.4},
        "seconds": 9.0,
        "workloads": [row],
        "tails": [{**row, "connections": 64}],
        "soap": [{"name": "RunInstances", "query": SIDE, "soap": SIDE, "more_ms": spreads, "ratio": spreads}],
        "crowd": {
            "machines": 100_000,
            "rows": [{"name": "DescribeInstances, 10", "alone": SIDE, "crowd": SIDE, "ratio": spreads}],
            **dict.fromkeys(("start_seconds", "started_mb"), both),
            "database_mb": 88,
            "page_ms": 300,
        },
        "memory": [],
        "ceiling": [{"what": "zones", "connections": 1, "rate": 12345}],
    }


def test_the_table_names_what_was_found():
    table = report.markdown(found("abc", "2026-01-01", 1.0))
    assert "**1.0×** (0.9 … 1.1) |  | ≥ 300× |" in table  # what was got stands beside what was aimed at
    assert "12,345" in table
    assert "| DescribeInstances, 1,000 | 64 | 1.00 / 2.00 / 3.00 | **3.0** |  | < 10 |" in table
    assert "| RunInstances | 1.00 | 1.00 | **1.00** (0.90 … 1.10) | ≤ 1 | 1.0× |" in table
    assert "**1.00×** (0.90 … 1.10) |  | flat |" in table
    assert spread([3.0, 1.0, 2.0]).middle == 2.0


def test_ratios_of_the_newest_kept_result_stand_beside_the_new_ones(tmp_path):
    for commit, at, ratio in (("old", "2026-01-02", 5.0), ("older", "2026-01-01", 7.0)):
        kept.write(tmp_path, found(commit, at, ratio), "", keep="")
    now = found("new", "2026-01-03", 6.0)
    kept.write(tmp_path, now, "", keep=None)  # of this commit and not kept: nothing to compare with
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["latest.json", "old.json", "older.json"]
    table = report.markdown(now, kept.before(tmp_path, None, now))
    assert "**6.0×** (5.9 … 6.1) | 5.0× | ≥ 300× |" in table
    assert "kept result old." in table
    named = report.markdown(now, kept.before(tmp_path, "older", now))
    assert "**6.0×** (5.9 … 6.1) | 7.0× | ≥ 300× |" in named
    assert kept.before(tmp_path, None, found("old", "", 1.0)).name == "older"  # never with itself
    assert kept.before(tmp_path / "none", None, now) is None


def test_the_readme_quotes_the_last_run():
    root = Path(__file__).resolve().parents[2]
    section = (root / "README.md").read_text().partition("\n## Figures\n")[2].partition("\n## ")[0]
    quoted = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|--")]
    table = (root / "bench" / "results" / "latest.md").read_text().splitlines()
    assert len(quoted) > 5
    assert [line for line in quoted if line not in table] == []


def test_placement_places_at_every_turn_and_its_table_has_every_policy() -> None:
    site = placement.Site("third-party", 20)
    before, machines = site._now.number, len(site.machines)
    for _ in range(200):
        site.turn()
    assert site._now.number >= before + 200
    assert abs(len(site.machines) - machines) < 60
    rows = [
        {"policy": policy, "nodes": nodes, "machines": nodes * 10, "rate": 1e6 / nodes, "memory_mb": 20.0}
        for policy in placement.POLICIES
        for nodes in (100, 10_000)
    ]
    table = report.placement(rows)
    assert [line.split("|")[1].strip() for line in table[2:8]] == list(placement.POLICIES)
    assert table[2] == "| greedy | 10,000 | 100 | 20 MB | 100.0× |"
