"""Totals: durable counters to which policies add, by their hook `account`, and which all of them see.

    event, committed ─► next step: hook asked, outside of any transaction ─► one transaction: the counters
                                                                             and the number of the last event asked
    view.totals: the counters, faded to now

No policy runs inside a transaction, and an event has its number only when it is written; so the hook is asked of what the
event table says.  That the counters and the position move together makes it exactly once: what was committed is not
asked again, what was not is asked again, whether the process died or the policy failed meanwhile, and the answers are
the same because the hook is pure.  A policy that fails at an event stands still there, and says so, until it answers; a
policy that is loaded for the first time is told of everything from the first event on.  Decisions see the counters as
they were at the last step, seconds ago at most (docs/decisions/0009).

A counter with a half-life fades: an amount a added at t is a·2^(−(now − t) / half-life).  Sums fade as their parts do, so
one amount and one moment are kept for each key, and the order in which entries come makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from immutables import Map

from euca_rpc.clock import MINUTE, Micros
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.view import View
from euca_rpc.policy.values import Entry
from euca_rpc.types import Accounted, Counter, Event

BATCH = 500  # events asked of a policy at a time: other steps come in between
AGAIN: Micros = MINUTE  # until one that failed is asked again

Dated = tuple[Micros, Entry]


# --------------------------------------------------------------------------------------------------- arithmetic
def faded(amount: float, half_life: Micros | None, since: Micros, now: Micros) -> float:
    """What is left of ``amount`` after the time from ``since`` to ``now``; all of it if that has not begun."""
    if half_life is None or now <= since:
        return amount
    return float(amount * 2.0 ** (-(now - since) / half_life))


def added(counter: Counter | None, id: str, at: Micros, entry: Entry) -> Counter:
    """``entry`` of the moment ``at`` comes to what is there.  A half-life holds for the counter as a whole: the last one said
    does."""
    if counter is None:
        return Counter(id, float(entry.amount), at, entry.half_life)
    now = max(at, counter.at)
    before = faded(counter.amount, counter.half_life, counter.at, now)
    return Counter(id, before + faded(entry.amount, entry.half_life, at, now), now, entry.half_life)


class Totals(Mapping[str, float]):
    """The counters as they are at one moment; worked out when they are looked at."""

    def __init__(self, counters: Map[str, Counter], now: Micros) -> None:
        self._counters, self._now = counters, now

    def __getitem__(self, key: str) -> float:
        c = self._counters[key]
        return faded(c.amount, c.half_life, c.at, self._now)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counters)

    def __len__(self) -> int:
        return len(self._counters)


# ------------------------------------------------------------------------------------------------------- verb
def add(policy: str, after: int, upto: int, entries: Sequence[Dated]) -> Callable[[View, Micros], Outcome]:
    """What ``policy`` says to the events beyond ``after``, up to ``upto``; nothing if it was asked of them already."""

    def verb(view: View, now: Micros) -> Outcome:
        if position(view, policy) != after:
            return Outcome()
        counters: dict[str, Counter] = {}
        for at, entry in entries:
            id = f"{policy}.{entry.key}"
            counters[id] = added(counters.get(id) or view.counters.get(id), id, at, entry)
        asked = replace(view.accounted.get(policy) or Accounted(policy, 0), event_id=upto)
        return Outcome((Put(asked), *map(Put, counters.values())))

    return verb


def position(view: View, policy: str) -> int:
    asked = view.accounted.get(policy)
    return asked.event_id if asked is not None else 0


# ------------------------------------------------------------------------------------------------- who asks
class Accounts(Protocol):
    """The engine, as far as it keeps accounts (`policy.engine.Engine`)."""

    def accounts(self) -> Sequence[str]: ...

    def account(self, policy: str, events: Sequence[Event]) -> Sequence[Sequence[Entry]]: ...


class NoAccounts:
    """Where no policy is asked."""

    def accounts(self) -> Sequence[str]:
        return ()

    def account(self, policy: str, events: Sequence[Event]) -> Sequence[Sequence[Entry]]:
        return ()


class EventTable(Protocol):
    def events_after(self, after: int, kinds: Sequence[str], limit: int) -> list[Event]: ...


class Accountant:
    """Run with the controller's steps."""

    def __init__(self, accounts: Accounts, events: EventTable, journal: Journal) -> None:
        self._accounts, self._events, self._journal = accounts, events, journal
        self._again: dict[str, Micros] = {}  # policies that failed, and when they are asked again

    def step(self, now: Micros) -> Micros | None:
        """One batch for each policy.  The answer: when to come again, if not only for new events."""
        due: list[Micros] = []
        for policy in self._accounts.accounts():  # others may have come meanwhile
            held = self._again.get(policy, now)
            again = held if held > now else self._ask(policy, now)
            if again is not None:
                due.append(again)
        return min(due, default=None)

    def _ask(self, policy: str, now: Micros) -> Micros | None:
        after = position(self._journal.view, policy)
        events = self._events.events_after(after, (), BATCH)
        if not events:
            return None
        answers = self._accounts.account(policy, events)
        if answers:
            entries = [(e.at, entry) for e, said in zip(events, answers, strict=False) for entry in said]
            self._journal.do(add(policy, after, events[len(answers) - 1].id, entries))
        if len(answers) < len(events):
            self._again[policy] = now + AGAIN
            return now + AGAIN
        self._again.pop(policy, None)
        return now if len(events) == BATCH else None
