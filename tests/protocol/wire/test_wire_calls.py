"""What a call promises: a value or an EucaError, who may call what, and nothing but the contract is reachable."""

from __future__ import annotations

import logging
import statistics
import threading
import time

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts, pyro
from euca_rpc.wire.pki import PeerName
from euca_rpc.wire.serving import Offer

NODE = "euca.node.open.host1"


def test_a_call_brings_its_value_and_tells_the_servant_who_called(remote) -> None:
    answer = remote.call(NODE, "report", {"known": 3})
    assert answer == {"known": 3, "caller": "cluster controller open"}


def test_no_field_of_a_message_says_who_calls(remote) -> None:
    assert remote.call(NODE, "report", {"peer": "cloud"})["caller"] == "cluster controller open"


def test_not_even_a_servant_that_takes_anything_is_told_by_a_message_who_calls() -> None:
    class Takes:
        def report(self, **anything: object) -> dict[str, object]:
            return anything

    offer = Offer(NODE, Takes(), contracts.BY_OBJECT)
    assert offer.answer(PeerName("cluster", "open"), "report", {"peer": "cloud", "a": 1}, [1, 1]) == {"a": 1}


def test_an_error_keeps_symbol_sentence_and_facts_and_loses_its_private_part(remote) -> None:
    with pytest.raises(EucaError) as caught:
        remote.call(NODE, "ensure", {"specs": []})
    error = caught.value
    assert (error.symbol, error.sentence, error.facts) == (
        "generation_old",
        "generation 1 is older than 2",
        {"have": 2},
    )
    assert error.private is None


def test_any_other_exception_is_logged_under_a_request_id_and_crosses_without_its_text(
    remote, caplog
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(EucaError) as caught:
        remote.call(NODE, "absent", {"items": []})
    assert caught.value.symbol == "internal"
    assert "secret inner state" not in caught.value.sentence
    logged = [r for r in caplog.records if caught.value.facts["request_id"] in r.getMessage()]
    assert "secret inner state" in logging.Formatter().formatException(logged[0].exc_info)


def test_a_result_that_cannot_cross_is_the_servants_error(remote, caplog) -> None:
    with pytest.raises(EucaError) as caught:
        remote.call(NODE, "reboot", {"items": []})
    assert caught.value.symbol == "internal"
    assert "type object" in caplog.text
    assert remote.call(NODE, "hello", {}) == {"role": "node"}


def test_an_argument_that_cannot_cross_is_never_sent(remote, servant) -> None:
    with pytest.raises(EucaError, match=r"a value of type set; wire\.codec\.pack"):
        remote.call(NODE, "report", {"known": {1}})
    assert servant.calls == []


def test_a_missing_argument_is_named_and_an_unknown_one_ignored_and_counted(remote, endpoint) -> None:
    with pytest.raises(EucaError, match="needs specs") as caught:
        remote.call(NODE, "ensure", {})
    assert caught.value.symbol == "parameter_missing"
    assert remote.call(NODE, "report", {"known": 1, "color": "red"})["known"] == 1
    assert endpoint.ignored_arguments() == 1


def test_a_role_that_may_not_call_is_refused_by_name(cloud, endpoint, servant) -> None:
    with pytest.raises(EucaError) as caught:
        cloud.remote(endpoint, PeerName("node", "open", "host2")).call(NODE, "report", {})
    assert caught.value.symbol == "role_refused"
    assert (
        "may be called by cluster, but the caller is the node controller open/host2" in caught.value.sentence
    )
    assert servant.calls == []


ANYTHING = {
    (contracts.NODE, name): contracts.Call(contracts.NODE, name, contracts.ROLES, 3.0)
    for name in (
        "purge",
        "secret",
        "calls",
        "__class__",
        "__init__",
        "__getattr__",
        "_private",
        "hello.__class__",
        "invoke",
    )
}


@pytest.mark.parametrize("method", [name for _, name in ANYTHING])
def test_a_method_outside_the_contract_is_out_of_reach(cloud, endpoint, method) -> None:
    remote = cloud.remote(endpoint, calls=ANYTHING)  # a caller that asks for anything
    with pytest.raises(EucaError) as caught:
        remote.call(NODE, method, {})
    assert caught.value.symbol == "action_unknown"


def test_a_caller_does_not_even_ask_for_what_no_contract_has(remote) -> None:
    with pytest.raises(EucaError, match=r"no contract has a call euca\.node\.open\.host1\.purge"):
        remote.call(NODE, "purge", {})


@pytest.mark.parametrize("contract", [(2, 9), (0, 0), None, "garbage"])
def test_a_peer_out_of_the_contracts_range_is_incompatible(
    cloud, endpoint, servant, contract, monkeypatch
) -> None:
    line = cloud.remote(endpoint)._take(PeerName("node", "open", "host1"), time.monotonic() + 3).line
    cloud.ends_with(line.hang_up)
    line._connection.deadline = time.monotonic() + 3
    with pytest.raises(EucaError, match="upgrade the older of the two") as caught:
        line._pyroInvoke("invoke", ["report", {}, contract], {})
    assert caught.value.symbol == "incompatible"
    assert servant.calls == []


def test_a_newer_peer_that_still_speaks_ours_is_understood(cloud, endpoint) -> None:
    line = cloud.remote(endpoint)._take(PeerName("node", "open", "host1"), time.monotonic() + 3).line
    cloud.ends_with(line.hang_up)
    line._connection.deadline = time.monotonic() + 3
    assert line._pyroInvoke("invoke", ["hello", {}, [1, 99]], {})["value"] == {"role": "node"}


def test_a_message_over_the_limit_is_refused_before_it_is_sent(remote, monkeypatch) -> None:
    monkeypatch.setattr(pyro, "MAX_MESSAGE", 100_000)
    with pytest.raises(EucaError, match="larger than the limit of 100000"):
        remote.call(NODE, "report", {"known": b"x" * 200_000})


def test_an_answer_over_the_limit_is_an_error_and_not_a_silence(remote, monkeypatch) -> None:
    monkeypatch.setattr(pyro, "MAX_MESSAGE", 100_000)
    with pytest.raises(EucaError) as caught:
        remote.call(NODE, "console", {"instance_id": "200000"})
    assert caught.value.symbol == "internal"


def test_a_message_of_megabytes_is_fine(remote) -> None:
    assert len(remote.call(NODE, "console", {"instance_id": "5000000"})["text"]) == 5_000_000


def test_a_silent_servant_costs_its_timeout_and_no_more(remote, servant) -> None:
    began = time.monotonic()
    with pytest.raises(EucaError) as caught:
        remote.call(NODE, "stop", {"items": []}, timeout=0.4)
    assert 0.3 < time.monotonic() - began < 1.5
    assert caught.value.symbol == "unreachable"
    assert "euca.node.open.host1 at 127.0.0.1:" in caught.value.sentence
    assert "did not answer stop within 0.4 s" in caught.value.sentence
    assert remote.call(NODE, "hello", {}) == {"role": "node"}, "and the late answer is nobody else's"


def test_a_call_that_is_not_to_be_repeated_is_sent_once(remote, servant) -> None:
    with pytest.raises(EucaError):
        remote.call(NODE, "stop", {"items": []}, timeout=0.3)
    assert servant.calls == ["stop"]


def test_nobody_listens(cloud, endpoint, remote) -> None:
    endpoint.stop()
    with pytest.raises(
        EucaError, match=r"no connection to euca\.node\.open\.host1 at 127\.0\.0\.1:.*Connection refused"
    ) as caught:
        remote.call(NODE, "report", {})
    assert caught.value.symbol == "unreachable"


def test_a_connection_that_breaks_during_a_call_leaves_it_open_whether_it_happened(
    remote, endpoint, servant
) -> None:
    threading.Timer(0.2, endpoint.stop).start()
    with pytest.raises(EucaError, match=r"the connection to .* broke before it answered stop") as caught:
        remote.call(NODE, "stop", {"items": []})
    assert caught.value.symbol == "unreachable"
    assert servant.calls == ["stop"]


def test_a_restarted_daemon_is_found_again_by_calls_that_may_not_be_repeated(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant)
    remote = cloud.remote(endpoint)
    assert remote.call(NODE, "hello", {})
    endpoint.stop()
    cloud.endpoint(servant, port=endpoint.port)
    with pytest.raises(EucaError) as caught:  # the servant's own answer: the stale line was not used
        remote.call(NODE, "ensure", {"specs": []})
    assert caught.value.symbol == "generation_old"
    assert servant.calls.count("ensure") == 1


def test_one_remote_serves_many_threads(remote) -> None:
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(20):
            try:
                answer = remote.call(NODE, "report", {"known": number})
            except Exception as error:
                wrong.append(error)
            else:
                wrong.extend([answer] if answer["known"] != number else [])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_call_over_tls_takes_nothing_like_the_delay_of_unset_nodelay(remote) -> None:
    times = []
    for _ in range(60):
        began = time.perf_counter()
        remote.call(NODE, "report", {"known": 1})
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.020  # 0.3 ms here; 44 ms with Nagle's algorithm


def test_a_new_connection_takes_nothing_like_it_either(cloud, remote) -> None:
    times = []
    for _ in range(15):
        remote.close()
        began = time.perf_counter()
        remote.call(NODE, "report", {"known": 1})
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.035


def test_an_endpoint_offers_its_own_name_only(cloud, servant) -> None:
    with pytest.raises(
        EucaError, match="cannot be offered with the certificate of the cluster controller open"
    ):
        pyro.Endpoint(cloud.identity(PeerName("cluster", "open")), "127.0.0.1", 0, {NODE: servant})
