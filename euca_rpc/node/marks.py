"""Whose domain is it?  The rules every driver applies before it touches one; pure."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.node.hypervisor import Domain, Mark


def may_start(there: Domain | None, mark: Mark) -> bool:
    """True: start it (replacing what an older generation left).  False: it runs already.  Raises otherwise.

    One generation is started once: when it has ended, only a new generation runs again, so that a late or repeated
    request can never bring back a machine that its owner powered off.
    """
    if there is None:
        return True
    found = _checked(there, mark, "started")
    if found.generation == mark.generation:
        if there.running:
            return False
        raise EucaError(
            "state_conflict",
            f"Generation {mark.generation} of {mark.instance_id} has already run here and ended "
            f"({there.end or 'unknown'}); starting it again takes a new generation.",
        )
    if there.running:
        raise EucaError(
            "state_conflict",
            f"Generation {found.generation} of {mark.instance_id} still runs here; it has to be stopped before "
            f"generation {mark.generation} starts.",
        )
    return True


def may_touch(there: Domain | None, mark: Mark, what: str) -> Mark | None:
    """The mark of the domain that may be stopped or reset, None if there is none; raises if it is not ours."""
    return None if there is None else _checked(there, mark, what)


def not_running(mark: Mark) -> EucaError:
    return EucaError("unavailable", f"{mark.instance_id} does not run, so its disk cannot be copied from it.")


def _checked(there: Domain, mark: Mark, what: str) -> Mark:
    found = there.mark
    if found is None or (found.cloud_id, found.node_id, found.instance_id) != (
        mark.cloud_id,
        mark.node_id,
        mark.instance_id,
    ):
        owner = (
            f"node {found.node_id} of cloud {found.cloud_id}"
            if found
            else "somebody else: it carries no mark"
        )
        raise EucaError(
            "state_conflict",
            f"{mark.instance_id} was not {what}: the domain {there.name} on this host belongs to {owner}. "
            "It was not touched.",
        )
    if found.generation > mark.generation:
        raise EucaError(
            "generation_old",
            f"Generation {mark.generation} of {mark.instance_id} was not {what}: generation "
            f"{found.generation} is here.",
            facts={"asked": mark.generation, "here": found.generation},
        )
    return found
