"""A spot market: what regular machines leave free goes to the highest bidders, for as long as they are that.

    supply   cores of the nodes in use, less what regular machines hold and what regular launches wait for
    demand   spot machines that run and spot launches that wait, each with its bid (hint `bid`, EC2's MaxPrice, per core-hour)
    price    the highest bid that finds no place any more, or the floor if all do; everybody who has one pays it

A spot launch whose bid is below the price waits for the price to fall.  A spot machine whose bid is below it, or as high
and with no place left, is evicted with notice.  A regular launch that has no room waits while the price makes some.

The price is published as "spot.price".  A site that knows better feeds one, `euca policy feed spot.fed 0.25`: then that is
the price, and no auction is held.  Source: the uniform-price auction of W. Vickrey, "Counterspeculation, Auctions, and
Competitive Sealed Tenders", Journal of Finance 16(1), 1961, with a divisible supply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from euca_rpc.clock import MINUTE
from euca_rpc.hookspecs import policy
from euca_rpc.policy.actions import Action, Again, Evict, Publish
from euca_rpc.policy.values import Launch, LaunchClass, PolicyView, Target, Wait
from euca_rpc.types import Instance, Intent

NAME, SPOT = "spot", "best_effort"
PARAMETERS: dict[str, Any] = {
    "floor": 0.05,  # the lowest price of a core-hour
    "default_bid": 1.0,  # of a spot launch that names none
    "notice_minutes": 2.0,  # that a spot machine's user has
    "grace_minutes": 2.0,  # after the notice; who still has no room then is made more
}


@policy
def score(cls: LaunchClass, target: Target) -> float:
    """Best fit: whole nodes stay free, so that room that was cleared is of use."""
    left = target.room - cls.size
    return 1.0 - min(1.0, max(0.0, left.cores / target.offer.cores)) if target.offer.cores else 0.0


@policy
def admit(launch: Launch, view: PolicyView) -> Wait | None:
    later = view.now + _minutes(view, "notice_minutes", "grace_minutes")
    if launch.service_class != SPOT:
        if _fits(launch, view) or not _fits(launch, view, _spot_machines(view)):
            return None
        return Wait("Spot machines are given notice, and it gets their room.", later)
    bid, price = _bid_of(launch, view), _price(view)
    if bid < price:
        return Wait(f"The spot price is {price:g} for a core-hour, and {bid:g} is bid.", later)
    cheaper = [i for i in _spot_machines(view) if _bid(i, view) < bid]
    if not _fits(launch, view) and _fits(launch, view, cheaper):
        return Wait(f"It outbids others with {bid:g} and gets their room when their notice is over.", later)
    return None


@policy
def tend(view: PolicyView) -> list[Action]:
    machines = [i for i in _spot_machines(view) if not _told(i, view)]
    fed = view.published.get(f"{NAME}.fed")
    if isinstance(fed, int | float):
        price = max(_said(view, "floor"), float(fed))
        losers = [i for i in machines if _bid(i, view) < price]
    else:
        price, losers = _auction(machines, view)
    notice = _minutes(view, "notice_minutes")
    found: list[Action] = [Publish("price", round(price, 6))]
    for i in losers:
        reason = f"The spot price is {price:g} for a core-hour, and {_bid(i, view):g} was bid."
        found.append(Evict(i.id, reason, notice))
    if any(w.policy == NAME for w in view.waiting.values()):
        found.append(Again(view.now + _minutes(view, "grace_minutes")))
    return found


# ---------------------------------------------------------------------------------------------------- the auction
def _auction(machines: list[Instance], view: PolicyView) -> tuple[float, list[Instance]]:
    """The price, and the machines that have no place at it.  Of equal bids those that run longest have theirs first."""
    bids: list[tuple[float, int, int, str, Instance | None]] = [
        (-_bid(i, view), i.launched_at, i.cores, i.id, i) for i in machines
    ]
    for w in view.waiting.values():
        if w.policy == NAME and w.launch.service_class == SPOT:
            cores = w.launch.size.cores * w.launch.min_count
            bids.append((-_bid_of(w.launch, view), view.now, cores, w.reservation_id, None))
    price, left, losers = _said(view, "floor"), _supply(view), list[Instance]()
    for minus_bid, _, cores, _, machine in sorted(bids, key=lambda one: one[:4]):
        if cores <= left:
            left -= cores
            continue
        left = 0 if machine is not None else left  # nobody who bids less overtakes a machine that has to go
        price = max(price, -minus_bid)
        if machine is not None:
            losers.append(machine)
    return price, losers


def _supply(view: PolicyView) -> int:
    """Cores.  A regular launch that waits although there were enough found them scattered: it is made more room from
    one grace period to the next."""
    usable = {id for id, t in view.targets.items() if t.usable}
    offered = sum(view.targets[id].offer.cores for id in usable)
    held = sum(
        i.cores
        for i in view.instances.values()
        if i.node in usable
        and i.ended_at is None
        and i.intent is not Intent.STOPPED
        and i.service_class != SPOT
    )
    wanted, patience = 0, max(1, _minutes(view, "notice_minutes", "grace_minutes"))
    for w in view.waiting.values():
        if w.policy == NAME and w.launch.service_class != SPOT:
            wanted += w.launch.size.cores * w.launch.min_count * (1 + (view.now - w.since) // patience)
    return max(0, offered - held - wanted)


def _price(view: PolicyView) -> float:
    said = view.published.get(f"{NAME}.fed", view.published.get(f"{NAME}.price"))
    floor = _said(view, "floor")
    return max(floor, float(said)) if isinstance(said, int | float) else floor


# ------------------------------------------------------------------------------------------------------ looking
def _spot_machines(view: PolicyView) -> list[Instance]:
    return [
        i
        for i in view.instances.values()
        if i.service_class == SPOT and i.intent is Intent.RUNNING and i.node
    ]


def _bid(i: Instance, view: PolicyView) -> float:
    """What was bid with its launch."""
    reservation = view.reservations.get(i.reservation_id)
    hint = reservation.hints.get("bid") if reservation is not None else None
    return float(hint) if hint is not None else _said(view, "default_bid")


def _bid_of(launch: Launch, view: PolicyView) -> float:
    return launch.bid if launch.bid is not None else _said(view, "default_bid")


def _told(i: Instance, view: PolicyView) -> bool:
    lease = view.leases.get(i.id)
    return lease is not None and lease.evicted != ""


def _fits(launch: Launch, view: PolicyView, gone: Iterable[Instance] = ()) -> bool:
    """As it is, or if these were gone."""
    rooms = {
        t.id: t.room
        for t in view.targets.values()
        if t.usable and launch.zone in (None, t.zone) and t.architecture in ("", launch.architecture)
    }
    for i in gone:
        if i.node in rooms:
            rooms[i.node] = rooms[i.node] + i.size
    return sum(launch.size.count_in(room) for room in rooms.values()) >= launch.min_count


def _said(view: PolicyView, name: str) -> float:
    return float(view.parameters.get(f"{NAME}.{name}", PARAMETERS[name]))


def _minutes(view: PolicyView, *names: str) -> int:
    return int(sum(_said(view, name) for name in names) * MINUTE)
