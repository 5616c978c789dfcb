from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.images.tickets import FETCH, FORGET, PURPOSES, RECEIPT, STORE, UPLOAD, check, issue

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_700_000_000 * SECOND
FACTS = {"sha256": "ab" * 32, "node": "node/open/host1"}
TICKET = issue(KEY, FETCH, FACTS, NOW + SECOND)


def test_a_ticket_tells_its_facts_until_its_end() -> None:
    assert check(KEY, TICKET, FETCH, NOW) == FACTS
    with pytest.raises(EucaError, match="it ended at 2023-11-14"):
        check(KEY, TICKET, FETCH, NOW + SECOND)


@given(st.integers(0, len(TICKET) - 1), st.integers(0, 255))
def test_any_changed_byte_is_refused(place: int, byte: int) -> None:
    changed = TICKET[:place] + chr(byte) + TICKET[place + 1 :]
    if changed == TICKET:
        assert check(KEY, changed, FETCH, NOW) == FACTS
    else:
        with pytest.raises(EucaError) as refusal:
            check(KEY, changed, FETCH, NOW)
        assert refusal.value.symbol == "denied"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_nothing_else_is_a_ticket(text: str) -> None:
    with pytest.raises(EucaError, match="A ticket for 'fetch' is needed here"):
        check(KEY, text, FETCH, NOW)


@given(
    st.sampled_from(PURPOSES),
    st.dictionaries(st.text(max_size=20), st.text(max_size=40) | st.integers(0, 2**63), max_size=6),
    st.integers(1, 10**9),
)
def test_what_was_stated_is_what_is_learned(purpose: str, facts: dict[str, str | int], lasts: int) -> None:
    ticket = issue(KEY, purpose, facts, NOW + lasts)
    assert check(KEY, ticket, purpose, NOW) == facts
    assert issue(KEY, purpose, dict(reversed(facts.items())), NOW + lasts) == ticket
    for other in PURPOSES:
        if other != purpose:
            with pytest.raises(EucaError, match=f"it is one for '{purpose}'"):
                check(KEY, ticket, other, NOW)
    with pytest.raises(EucaError, match="another cloud's"):
        check(OTHER, ticket, purpose, NOW)


def test_a_cut_or_padded_ticket_is_refused() -> None:
    for changed in (TICKET[:-1], TICKET + "=", TICKET + "A", " " + TICKET, TICKET[3:], "", "A" * 100_000):
        with pytest.raises(EucaError):
            check(KEY, changed, FETCH, NOW)


def test_only_known_purposes_and_real_keys_make_tickets() -> None:
    with pytest.raises(ValueError, match="no ticket has the purpose"):
        issue(KEY, "root", {}, NOW)
    with pytest.raises(ValueError, match="at least 16 bytes"):
        issue(b"short", RECEIPT, {}, NOW)
    assert {FETCH, RECEIPT, STORE, FORGET, UPLOAD} == set(PURPOSES)
