"""Another policy in force, without a restart.

    use NAME ─► loaded? else by its entry point ─► trial: every VM type × every node ─► event, committed ─► in force
                        └────────── anything wrong: refused, and what is in force stays so ──────────┘

Loaded are the policies of [cloud] policies and those in force; so one that was loaded here goes when it is in force
nowhere any more, and `recall` loads it again when the cloud controller starts while it is.  Python reads a module once:
a newer version of a policy that was loaded before needs that start.
"""

from __future__ import annotations

import logging

from euca_rpc.clock import Clock
from euca_rpc.cloud import policies
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.placement import shown
from euca_rpc.cloud.policies import Policies
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.policy.loader import Policy, bind, load, offered
from euca_rpc.policy.trial import trial
from euca_rpc.policy.values import LaunchClass
from euca_rpc.types import Caller

log = logging.getLogger(__name__)


def use(
    journal: Journal, loaded: Policies, clock: Clock, by: Caller, name: str | None, zone: str | None
) -> None:
    """For ``zone`` or the cloud; ``name`` None: back to what holds without a choice.  parameter_invalid: nobody offers
    it; policy_failed: it failed its trial."""
    if name is not None and loaded.policy(name) is None:
        policy = _found(name)
        _try(policy, journal.view, clock)
        loaded.add(policy)
    elif name is not None:
        _try(loaded.policy(name), journal.view, clock)
    try:
        journal.do(policies.choose(by, [row["policy"] for row in loaded.status()], name, zone))
    finally:
        loaded.keep(in_force(journal.view))


def in_force(view: View) -> set[str]:
    """What was chosen while the cloud ran; the settings file names the others."""
    chosen = {policies.of_cloud(view.settings), *(zone.policy for zone in view.zones.values())}
    return {name for name in chosen if name is not None}


def recall(loaded: Policies, view: View) -> None:
    """At the start: what is in force and not named in the settings.  Where one is gone, its zones stay closed."""
    there = offered()
    for name in sorted(in_force(view)):
        if loaded.policy(name) is not None:
            continue
        if name in there:
            loaded.add(_bound(name))
        else:
            log.error("policy %s is in force, but no installed package offers it any more", name)


def _found(name: str) -> Policy:
    try:
        return _bound(name)
    except EucaError as unknown:
        raise EucaError("parameter_invalid", unknown.sentence, facts=unknown.facts) from None


def _bound(name: str) -> Policy:
    return bind(name, load([name])[name])


def _try(policy: Policy | None, view: View, clock: Clock) -> None:
    if policy is None:
        return
    architectures = sorted({t.architecture for t in view.targets.values() if t.architecture})
    classes = [LaunchClass(t.name, t.size, a) for t in view.vm_types.values() for a in architectures]
    trouble = policy.broken or trial(policy.name, policy, classes, shown(view, clock.now()), clock)
    if trouble:
        raise EucaError(
            "policy_failed",
            f"Policy {policy.name} was tried on the nodes there are and failed: {trouble}. What was in force stays so; mend"
            " the policy, start the cloud controller again so that it reads it anew, and try again.",
            facts={"policy": policy.name},
        )
