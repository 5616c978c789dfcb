"""One experiment: a workload, a site and a policy in; what was decided and what became of it out.

    Request ─arrives─► core.instances.launch ─► launched ─► running ─► its duration over ─► terminate ─► ended
                              │├─► waits, as in a live cloud: a policy says so, or it is ready to wait for room
                              └─► refused: drop │ retry later

The cloud controller, its verbs, its reconciler and the policy engine are the ones of a live cloud.  The same workload,
site, policy and seed give the same decisions, always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from euca_rpc.clock import HOUR, SECOND, Micros
from euca_rpc.cloud import accounts, nodes, zones
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.controller import CloudController, Settings
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.launch import MAX_COUNT, AddressPool
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.policies import PARAMETER, check_parameter
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.specs import Blobs
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.cloud.waiting import LONGEST
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.lab.hosts import ARCHITECTURE, SimulatedHosts
from euca_rpc.lab.memory import MemoryStore
from euca_rpc.lab.record import Ended, Record, Recorder
from euca_rpc.lab.site import Site
from euca_rpc.lab.timeline import Driver, Timeline
from euca_rpc.lab.workload import Request, Workload, sizes
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.hints import DURATION, WAIT
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import bind, load
from euca_rpc.types import Caller, Image, LaunchRequest, Setting, Size, VmType

IMAGE = "emi-00000001"
NOBODY = "nobody"  # whose requests a source that records no users tells of
REFUSED = ("drop", "retry", "wait")
_FOR_EVER = "3000000000"  # seconds
SETTLING = 10 * SECOND  # until every node was heard of


@dataclass(frozen=True, slots=True)
class Plan:
    """How the workload is to be run.  ``refused``: what becomes of a request that there is no room for; ``retry``: the
    pause before it is made again, at most ``tries`` times in all.  ``parameters``: of policies, by "policy.name";
    ``beside``: policies that are loaded beside the one that places."""

    site: Site
    policy: str
    refused: str = "drop"
    retry: Micros = 60 * SECOND
    tries: int = 60
    parameters: dict[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


def check(plan: Plan, policies: Sequence[str]) -> None:
    """EucaError: the plan makes no sense for runs of these policies, each by itself; the sentence says what would."""
    if plan.refused not in REFUSED:
        raise EucaError(
            "parameter_invalid",
            f"a refused request can {', '.join(REFUSED[:-1])} or {REFUSED[-1]}, not {plan.refused!r}",
        )
    plugins = load([*policies, *plan.beside])
    declared = {name: bind(name, plugin).parameters for name, plugin in plugins.items()}
    for name, value in plan.parameters.items():
        check_parameter(declared, name, value)


class Experiment:
    def __init__(self, workload: Workload, plan: Plan) -> None:
        check(plan, [plan.policy])
        self.workload, self.plan = workload, plan
        self.timeline = Timeline()
        self._types = {size: _type_name(size) for size in sizes(workload.requests)}
        self._recorder = Recorder({name: size for size, name in self._types.items()}, self._settled)
        self.cloud = self._cloud()
        self._callers: dict[tuple[str, str], Caller] = {}
        self._waiting: dict[str, Request] = {}  # by reservation
        self._stock()
        self._driver = Driver(self.timeline, self.cloud)
        self.timeline.run(self.timeline.now() + SETTLING)
        self._begin = self.timeline.now()
        self._recorder.begin = self._begin

    # ------------------------------------------------------------------------------------------------- setting up
    def _cloud(self) -> CloudController:
        clock, seed = self.timeline.clock, self.workload.name
        engine = Engine(
            load([self.plan.policy, *self.plan.beside]),
            cloud_policy=self.plan.policy,
            clock=clock,
            isolation=Inline(),
        )
        store = cast(Store, MemoryStore(self._recorder.event, keep=bool(engine.accounts())))
        hosts = SimulatedHosts(self.plan.site, self.timeline, lambda zone: self.cloud.poke(zone))
        return CloudController(
            store,
            Journal(store, View(), clock),
            clock,
            SeededIds(f"lab/{seed}"),
            hosts,
            EnginePlacer(engine, clock),
            Seal(bytes(32)),
            Settings(
                "lab",
                Blobs("https://127.0.0.1:1", bytes(32)),
                AddressPool("127.0.0.0/8"),
                poll=24 * HOUR,  # the hosts poke when there is something new
                silence=240 * HOUR,
                accounts=engine,
                tends=engine,
                longest_wait=int(_FOR_EVER) * SECOND if self.plan.refused == "wait" else LONGEST,
            ),
        )

    def _stock(self) -> None:
        journal, ids = self.cloud.journal, SeededIds("lab/stock")
        owner = journal.do(accounts.add_user("lab", ids, "lab", is_admin=True))
        image = Image(
            IMAGE, "machine", "lab", owner.account_id, owner.id, "0" * 64, 1, 0, "raw", ARCHITECTURE
        )
        rows: list[Any] = [image]
        for place, (size, name) in enumerate(self._types.items()):
            rows.append(VmType(name, *size.parts(), place))
        rows += [Setting(PARAMETER + name, json.dumps(value)) for name, value in self.plan.parameters.items()]
        journal.do(lambda view, now: Outcome(tuple(map(Put, rows))))
        for zone in sorted({id.partition("/")[0] for id in self.plan.site.hosts}):
            journal.do(zones.add("lab", zone))
        for id in self.plan.site.hosts:
            journal.do(nodes.add("lab", *id.split("/")))
        projects: dict[str, str] = {}  # as the source calls it → account number
        for request in self.workload.requests:
            who = (request.account, request.user)
            if who in self._callers:
                continue
            name = f"u{len(self._callers)}"
            user = journal.do(accounts.add_user("lab", ids, name, account_id=projects.get(request.account)))
            if request.account:
                projects.setdefault(request.account, user.account_id)
            self._callers[who] = accounts.caller_for(user, "lab", "lab")
            self._recorder.users[user.name] = request.user or NOBODY
        for kind in ("account", "user"):
            assert journal.view.quota(f"{kind}/x").instances < 0  # the site's room is the only limit

    # ---------------------------------------------------------------------------------------------------- running
    def run(self, progress: Callable[[float], None] = lambda share: None) -> Record:
        """``progress`` hears the share of the requests that were made, now and then."""
        requests = self.workload.requests
        often = max(1, len(requests) // 100)
        for done, request in enumerate(requests):
            self.timeline.run(self._begin + request.at - 1)
            self.timeline.arrives(self._begin + request.at, lambda r=request: self._make(r, 1))  # type: ignore[misc]
            if done % often == 0:
                progress(done / len(requests))
        self.timeline.run(self._begin + self.workload.length + SECOND)
        progress(1.0)
        for request in self._waiting.values():
            self._recorder.waits(request, self.timeline.now())
        return self._recorder.record(self.workload, self.plan.policy, self.plan.site)

    def _make(self, request: Request, tried: int) -> None:
        refusal = self._launch(request)
        if refusal is None:
            return
        if refusal.kind == "capacity" and self.plan.refused == "retry" and tried < self.plan.tries:
            self.timeline.arrives(
                self.timeline.now() + self.plan.retry, lambda: self._make(request, tried + 1)
            )
            return
        self._recorder.refused(request, self.timeline.now(), (refusal.symbol, refusal.sentence))

    def _launch(self, request: Request) -> EucaError | None:
        if request.count > MAX_COUNT:
            return EucaError(
                "parameter_invalid", f"{request.count} machines: at most {MAX_COUNT} in one request"
            )
        wanted = LaunchRequest(
            image_id=IMAGE,
            vm_type=self._types[request.size],
            min_count=request.count,
            max_count=request.count,
            hints=self._hints(request),
            service_class=request.service_class,
        )
        try:
            made = self.cloud.core.instances.launch(self._callers[request.account, request.user], wanted)
        except EucaError as refusal:
            return refusal
        if made.instances[0].instance.node:
            self._runs(request, {one.instance.id: one.instance.node for one in made.instances})
        else:
            self._waiting[made.reservation.id] = request
        return None

    def _hints(self, request: Request) -> tuple[tuple[str, str], ...]:
        """What its user told, the duration that it asked for, and that it waits."""
        more: dict[str, str] = {}
        if request.asked is not None:
            more[DURATION] = f"{request.asked / SECOND:.6f}"
        if self.plan.refused == "wait":
            more[WAIT] = _FOR_EVER
        return tuple(sorted({**more, **dict(request.hints)}.items())) if more else request.hints

    def _settled(self, reservation: str, why: Ended | None) -> None:
        """Told in the middle of a transaction: one that waited was placed, or was ended before that."""
        request = self._waiting.pop(reservation, None)
        if request is None:
            return
        if why is not None:
            self._recorder.refused(request, self.timeline.now(), why)
        else:
            self.timeline.at(self.timeline.now(), lambda: self._went_on(request, reservation))

    def _went_on(self, request: Request, reservation: str) -> None:
        view = self.cloud.journal.view
        rows = (view.instances[id] for id in view.reservations[reservation].instance_ids)
        self._runs(request, {i.id: i.node for i in rows if i.node})

    def _runs(self, request: Request, nodes: dict[str, str]) -> None:
        """From now on, for as long as it runs."""
        now, caller = self.timeline.now(), self._callers[request.account, request.user]
        ids = list(nodes)
        self._recorder.launched(request, now, ids, list(nodes.values()))
        if request.apart:
            for id, duration in zip(ids, request.apart, strict=True):
                if duration is not None:
                    self.timeline.at(now + duration, lambda id=id: self._end(caller, [id]))  # type: ignore[misc]
        elif request.duration is not None:
            self.timeline.at(now + request.duration, lambda: self._end(caller, ids))

    def _end(self, caller: Caller, ids: list[str]) -> None:
        there = self.cloud.journal.view.instances
        left = [id for id in ids if id in there]  # a lease may have ended the others long ago
        self.cloud.core.instances.terminate(caller, left)


def _type_name(size: Size) -> str:
    cores, memory_mb, disk_gb = size.parts()
    return f"c{cores}" + (f"m{memory_mb}" if memory_mb else "") + (f"d{disk_gb}" if disk_gb else "")


def simulate(
    workload: Workload, plan: Plan, progress: Callable[[float], None] = lambda share: None
) -> Record:
    """Run ``workload`` as ``plan`` says.  EucaError: an unknown policy, a plan that makes no sense."""
    return Experiment(workload, plan).run(progress)
