"""What an experiment comes to: pure functions of its record.

Shares are 0..1, durations seconds, energy kWh.  A figure that the workload does not allow is None: *not defined*, never
a guess.  Averages over time are exact integrals between the first request and the workload's end, not samples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from euca_rpc.clock import HOUR, SECOND, Micros
from euca_rpc.lab.record import RECORDED, Record, Stay, host_of
from euca_rpc.policy.hints import START
from euca_rpc.types import Size

LATE: Micros = SECOND  # after the moment of a reservation: it is met all the same
TAU = 10.0  # seconds: shorter runs count as this long in the slowdown


@dataclass(frozen=True, slots=True)
class Figures:
    requests: int
    launched: int
    refused: int
    machines: int
    utilisation: float  # share of the cores offered that was claimed
    peak: float  # the highest of it
    active_nodes: float  # that held a machine, on average
    node_hours: float  # of nodes that held a machine
    awake_hours: float  # of nodes that were not asleep
    fragmentation: (
        float | None
    )  # share of the free cores on nodes where the largest size asked for does not fit
    wait_mean: float
    wait_p95: float
    slowdown: float | None  # bounded, mean
    fairness: float | None  # Jain, between users
    energy_kwh: float
    balance: float  # Jain, between nodes' core-hours: 1 = all alike
    evictions: int | None  # machines that had to give way; a trace does not say
    notice_min: float | None  # the shortest time between being told and the end of those
    missed: (
        int | None
    )  # reservations: requests with a start (hint `start`, "+" seconds) that were not launched by then
    as_recorded: float | None  # share of requests whose first machine is on the node that the trace names


@dataclass(frozen=True, slots=True)
class Moment:
    """From here to the next one."""

    at: Micros
    cores: int  # claimed
    active: int  # nodes
    wasted: int  # free cores on nodes where the largest size does not fit
    watts: float


def figures(record: Record) -> Figures:
    end = record.workload.length
    begin = record.workload.requests[0].at
    hosts = record.site.hosts
    offered = record.site.offer.cores
    span = max(1, end - begin)
    area = Counter[str]()
    watts = waste = peak = 0.0
    previous: Moment | None = None
    for moment in (*curve(record), Moment(end, 0, 0, 0, 0.0)):
        if previous is not None and (between := min(moment.at, end) - previous.at) > 0:
            area["cores"] += previous.cores * between
            area["active"] += previous.active * between
            area["free"] += (offered - previous.cores) * between
            waste += previous.wasted * between
            watts += previous.watts * between
            peak = max(peak, previous.cores / offered)
        previous = moment
    per_node: dict[str, float] = dict.fromkeys(hosts, 0.0)
    for stay in record.stays:
        per_node[stay.node] += stay.size.cores * _held(stay, end) / HOUR
    notices = [
        (stay.evicted - (stay.noticed or 0)) / SECOND for stay in record.stays if stay.evicted is not None
    ]
    refused = sum(1 for d in record.decisions if d.symbol)
    waits = sorted(_waited(stay) for stay in record.stays if stay.running is not None)
    return Figures(
        requests=len(record.workload.requests),
        launched=len(record.decisions) - refused,
        refused=refused,
        machines=len(record.stays),
        utilisation=area["cores"] / (offered * span),
        peak=peak,
        active_nodes=area["active"] / span,
        node_hours=area["active"] / HOUR,
        awake_hours=(len(hosts) * span - _asleep(record, begin, end)) / HOUR,
        fragmentation=waste / area["free"] if area["free"] else None,
        wait_mean=sum(waits) / len(waits) if waits else 0.0,
        wait_p95=waits[min(len(waits) - 1, int(0.95 * len(waits)))] if waits else 0.0,
        slowdown=_slowdown(record.stays),
        fairness=None if "users" in record.workload.undefined else _fairness(record, end),
        energy_kwh=watts / HOUR / 1000,
        balance=jain(list(per_node.values())) or 0.0,
        evictions=None if record.policy == RECORDED else len(notices),
        notice_min=min(notices, default=None),
        missed=_missed(record),
        as_recorded=_as_recorded(record),
    )


def curve(record: Record) -> Iterator[Moment]:
    """The site's load as a step function, one value for each moment at which it changes; the first request's first."""
    hosts = record.site.hosts
    largest = max((r.size for r in record.workload.requests), key=Size.parts)
    end = record.workload.length
    changes: list[tuple[Micros, int, str, Size]] = []
    for stay in record.stays:
        changes.append((stay.launched, 1, stay.node, stay.size))
        if stay.ended is not None and stay.ended < end:
            changes.append((stay.ended, -1, stay.node, stay.size))
    for nap in record.naps:
        changes.append((max(nap.since, record.workload.requests[0].at), 0, nap.node, Size()))
        if nap.until is not None and nap.until < end:
            changes.append((nap.until, 2, nap.node, Size()))
    changes.sort(key=lambda change: change[:2])
    claimed, machines = {id: Size() for id in hosts}, Counter[str]()
    wasted = {id: _wasted(host.offer, host.offer, largest) for id, host in hosts.items()}
    cores = active = 0
    waste, watts = sum(wasted.values()), sum(host.idle_watts for host in hosts.values())
    slope = {id: (host.busy_watts - host.idle_watts) / host.offer.cores for id, host in hosts.items()}
    at = record.workload.requests[0].at
    for moment, step, node, size in changes:
        if moment > at:
            yield Moment(at, cores, active, waste, watts)
            at = moment
        if step in (0, 2):  # it falls asleep, or is awake again
            saved = hosts[node].idle_watts - hosts[node].asleep_watts
            watts += saved if step else -saved
            continue
        claimed[node] = claimed[node] + size if step > 0 else claimed[node] - size
        machines[node] += step
        active += (machines[node] == 1) if step > 0 else -(machines[node] == 0)
        cores += step * size.cores
        watts += step * size.cores * slope[node]
        now = _wasted(hosts[node].offer, hosts[node].offer - claimed[node], largest)
        waste += now - wasted[node]
        wasted[node] = now
    yield Moment(at, cores, active, waste, watts)


def _wasted(offer: Size, room: Size, largest: Size) -> int:
    """A node on which the largest size would not fit even when empty wastes nothing."""
    return room.cores if largest.fits(offer) and not largest.fits(room) else 0


def _asleep(record: Record, begin: Micros, end: Micros) -> Micros:
    """Of all nodes together."""
    return sum(
        max(0, min(end, end if nap.until is None else nap.until) - max(begin, nap.since))
        for nap in record.naps
    )


def _held(stay: Stay, end: Micros) -> Micros:
    return min(end, stay.ended if stay.ended is not None else end) - min(stay.launched, end)


def _waited(stay: Stay) -> float:
    assert stay.running is not None
    return (stay.wait + stay.running - stay.launched) / SECOND


def _slowdown(stays: Sequence[Stay]) -> float | None:
    """Bounded slowdown, max(1, (wait + run) / max(run, 10 s)).  Source: D. Feitelson, L. Rudolph, "Metrics and
    Benchmarking for Parallel Job Scheduling", JSSPP 1998."""
    values = [
        max(1.0, (_waited(stay) + run) / max(run, TAU))
        for stay in stays
        if stay.running is not None and stay.duration is not None
        for run in (stay.duration / SECOND,)
    ]
    return sum(values) / len(values) if values else None


def _missed(record: Record) -> int | None:
    starts = {
        r.key: r.at + int(float(after[1:]) * SECOND)
        for r in record.workload.requests
        if (after := dict(r.hints).get(START, "")).startswith("+")
    }
    if not starts:
        return None
    met = {d.key for d in record.decisions if not d.symbol and d.at <= starts.get(d.key, 0) + LATE}
    return len(starts.keys() - met)


def _as_recorded(record: Record) -> float | None:
    hosts = list(record.site.hosts)
    recorded = {r.key: host_of(r.recorded.split()[0], hosts) for r in record.workload.requests if r.recorded}
    same = sum(1 for d in record.decisions if d.nodes and recorded.get(d.key) == d.nodes[0])
    return same / len(recorded) if recorded else None


def _fairness(record: Record, end: Micros) -> float | None:
    """Jain's index of what each user got of what it asked for, in core-hours."""
    got, asked = defaultdict[str, float](float), defaultdict[str, float](float)
    for request in record.workload.requests:
        runs = end - request.at if request.duration is None else request.duration
        asked[request.user] += request.size.cores * request.count * runs
    for stay in record.stays:
        got[stay.user] += stay.size.cores * _held(stay, end)
    return jain([got[user] / wanted for user, wanted in asked.items() if wanted > 0])


def jain(values: Sequence[float]) -> float | None:
    """(Σx)² / (n Σx²): 1 when all are alike, 1/n when one has all; None of nothing.  Source: R. Jain, D. Chiu, W. Hawe,
    "A Quantitative Measure of Fairness", DEC-TR-301, 1984."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares > 0 else None
