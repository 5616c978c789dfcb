"""Mistakes that somebody could make, each a small change of the real code: the simulation has to catch every one.

A bug is a function of `patch` (pytest's monkeypatch.setattr); its first line says what a reviewer would have missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from euca_rpc import deltas
from euca_rpc.cloud import (
    captures,
    images,
    instances,
    launch,
    lifecycle,
    nodes,
    polling,
    reconcile,
    reports,
    tending,
    view,
    waiting,
)
from euca_rpc.cloud.changes import Insert, Outcome, Put
from euca_rpc.cloud.controller import CloudController
from euca_rpc.cloud.store import Store
from euca_rpc.machines import MachineSpec
from euca_rpc.node import marks, observed, simulated, state, work
from euca_rpc.node.capture import Captures
from euca_rpc.node.record import Records
from euca_rpc.node.service import NodeService
from euca_rpc.types import Intent, Seen, Size, Token, WaitingLaunch

Patch = Callable[[Any, str, Any], None]
BUGS: dict[str, Callable[[Patch], None]] = {}
# what a bug needs to show itself, where chance alone takes long: seeds with this theme come first
THEMES = {
    "another_generation_is_listened_to": "bounce",
    "stopped_by_itself_is_started_for_ever": "flap",
    "silence_is_failure": "vanish",
    "moved_although_it_was_sent": "vanish",
    "a_reboot_is_forgotten": "reboot",
    "a_fenced_host_goes_on_where_it_was": "give up",
    "fenced_and_still_wanted": "give up",
    "fenced_disks_are_deleted": "give up",
    "a_node_added_again_is_in_use_at_once": "give up",
    "an_older_generation_is_accepted": "bounce",
}

# the first seed to try, where others take long; any story may change with the code, then the other seeds follow
SEEDS = {
    "token_not_looked_up_in_the_verb": 19,
    "room_not_checked_when_a_stopped_one_starts": 26,
    "another_generation_is_listened_to": 59,
    "an_older_generation_is_accepted": 56,
}
NOT_CAUGHT: list[Callable[[Patch], None]] = []  # no seed of the suite shows these


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    BUGS[plant.__name__] = plant
    return plant


# ----------------------------------------------------------------------------------------------- the write path
@bug
def answered_before_it_is_durable(patch):
    """A batch is written together with the next one."""
    waiting: dict[Store, tuple[Any, Any]] = {}
    real = Store.write

    def late(self, changes, events):
        if self in waiting:
            real(self, *waiting.pop(self))
        waiting[self] = changes, events

    patch(Store, "write", late)


@bug
def an_index_of_the_view_is_not_kept(patch):
    """Public addresses are never given back."""
    real = view._Draft.instance

    def forgetful(self, old, new):
        before = self.v["addresses"]
        real(self, old, new)
        if new is not None and new.ended_at is not None:
            self.v["addresses"] = before

    patch(view, "_INDEX", {**view._INDEX, view.Instance: forgetful})


@bug
def token_not_remembered(patch):
    """A ClientToken is looked up and never written."""
    real = launch.commit_launch

    def commit(plan, nodes_, *rest):
        verb = real(plan, nodes_, *rest)

        def without(v, now):
            out = verb(v, now)
            kept = tuple(c for c in out.changes if not (isinstance(c, Insert) and isinstance(c.row, Token)))
            return replace(out, changes=kept)

        return without

    patch(launch, "commit_launch", commit)


@bug
def token_not_looked_up_in_the_verb(patch):
    """Two launches with one token at the same time both find nothing before."""
    real = launch.commit_launch

    def commit(plan, nodes_, *rest):
        verb = real(replace(plan, request=replace(plan.request, client_token=None)), nodes_, *rest)

        def blind(v, now):
            out = verb(v, now)
            text = plan.request.client_token
            marked = tuple(
                replace(c, row=replace(c.row, client_token=text)) if isinstance(c.row, launch.Instance) else c
                for c in out.changes
            )
            token = (Put(Token(f"{plan.caller.account_id}/{text}", plan.request_hash, out.result.id)),)
            return replace(out, changes=marked + (token if text else ()))

        return blind

    patch(launch, "commit_launch", commit)


@bug
def quota_not_checked_again_in_the_verb(patch):
    """The count that was right on the snapshot is taken as right in the transaction."""
    real = launch.commit_launch

    def commit(plan, nodes_, *rest):
        verb = real(plan, nodes_, *rest)

        def trusting(v, now):
            patched = launch.quota_left
            try:
                launch.quota_left = lambda view_, plan_: len(nodes_)
                return verb(v, now)
            finally:
                launch.quota_left = patched

        return trusting

    patch(launch, "commit_launch", commit)


@bug
def room_not_checked_again_in_the_verb(patch):
    """The placer's proposal is taken for a claim."""
    patch(launch, "still_fits", lambda v, nodes_, size: None)


@bug
def room_not_checked_when_a_stopped_one_starts(patch):
    """Starting again takes cores without asking whether they are free."""
    patch(instances, "_fits_again", lambda v, old, new: None)


# ---------------------------------------------------------------------------------------------------- lifecycle
@bug
def stopped_keeps_its_cores(patch):
    """A stopped machine claims what a running one does."""
    real = lifecycle.claim
    patch(lifecycle, "claim", lambda i: i.size if i.ended_at is None else real(i))


@bug
def started_again_as_the_same_generation(patch):
    """A start does not raise the generation."""
    real = lifecycle.want_started

    def again(i, now, reason=""):
        return replace(real(i, now, reason), generation=i.generation)

    patch(lifecycle, "want_started", again)


@bug
def another_generation_is_listened_to(patch):
    """What is said of an older generation is taken for the current one."""
    real = lifecycle.observe
    patch(lifecycle, "observe", lambda i, m, *at: real(i, replace(m, generation=i.generation), *at))


@bug
def stopped_by_itself_is_started_for_ever(patch):
    """No limit to restarts."""
    patch(lifecycle, "RESTARTS_AN_HOUR", 1000)
    # the check has a limit of its own


@bug
def silence_is_failure(patch):
    """A deadline that passes on a silent node ends the machine."""
    real = lifecycle.overdue
    patch(lifecycle, "overdue", lambda i, now, reachable, silence: real(i, now, True, silence))


@bug
def a_terminated_one_is_started_again(patch):
    """A host loss starts whatever was there, whatever is wanted."""
    real = lifecycle.observe

    def eager(i, m, now, since):
        seen = real(i, m, now, since)
        if seen is not None and i.intent is Intent.TERMINATED and m.seen == Seen.STOPPED:
            return replace(seen, row=lifecycle.want_started(seen.row, now))
        return seen

    patch(lifecycle, "observe", eager)


# ---------------------------------------------------------------------------------------------------- reconciling
@bug
def asked_again_at_once(patch):
    """The moment before which a call is not repeated is ignored."""
    real = reconcile.decide

    def eager(v, now):
        rows = {k: v.instances[k] for k in v.unsettled}
        hurried = v._replace(
            instances=v.instances.update({k: replace(r, next_try=0) for k, r in rows.items()})
        )
        return real(hurried, now)

    patch(reconcile, "decide", eager)


@bug
def attempt_not_written_before_the_call(patch):
    """The mark that a machine may be somewhere is not made."""
    real = reconcile.mark_told

    def unmarked(v, action, now):
        out = real(v, action, now)
        return Outcome(tuple(Put(replace(c.row, attempted=False)) for c in out.changes), result=out.result)

    patch(reconcile, "mark_told", unmarked)


@bug
def moved_although_it_was_sent(patch):
    """One whose node fell silent is placed again, attempted or not."""
    real = reconcile.mark_moved

    def eager(v, instance_id, node_id, now):
        row = replace(v.instances[instance_id], attempted=False)
        return real(v._replace(instances=v.instances.set(instance_id, row)), instance_id, node_id, now)

    decide = reconcile.decide

    def moving(v, now):
        actions, due = decide(v, now)
        lost = [
            reconcile.Move(i)
            for i in v.unsettled
            if v.instances[i].intent is Intent.RUNNING
            and v.instances[i].seen is Seen.NOTHING
            and not reconcile.reachable(v, v.instances[i].node)
        ]
        return actions + lost, due

    patch(reconcile, "mark_moved", eager)
    patch(reconcile, "decide", moving)


@bug
def a_reboot_is_forgotten(patch):
    """Nobody sends it when the first call was lost."""
    real = reconcile._missing

    def once(i):
        method = real(i)
        return None if method == "reboot" and i.attempts else method

    patch(reconcile, "_missing", once)


@bug
def late_answers_of_polls_count(patch):
    """The number of the question is not compared."""
    patch(polling.Polls, "heard", lambda self, zone, question: True)


# ---------------------------------------------------------------------------------------------------- reports
@bug
def a_delta_tells_only_what_the_last_version_changed(patch):
    """Who missed an answer misses what it told."""
    real = deltas.Told.words

    def words(self, known, understood):
        told = real(self, known, understood)
        if "since" in told:
            last = [id for id in self.machines if self.at.get(id) == self.version]
            told["machines"] = [self.machines[id] for id in last]
        return told

    patch(deltas.Told, "words", words)


@bug
def anybody_may_report_anything(patch):
    """The reporting node is not compared with the instance's node."""
    real = reports._machines

    def credulous(v, node, report, before, said, heard, now, changes, events):
        named = {m.instance_id for m in report.machines}
        elsewhere = {
            i: replace(r, node=node.id)
            for i in named
            if (r := v.instances.get(i)) is not None and r.node != node.id
        }
        start = len(changes)
        closer = v._replace(instances=v.instances.update(elsewhere))
        real(closer, node, report, before, said, heard, now, changes, events)
        for n in range(start, len(changes)):
            row = changes[n].row
            if getattr(row, "id", None) in elsewhere:
                changes[n] = Put(replace(row, node=v.instances[row.id].node))

    patch(reports, "_machines", credulous)


@bug
def not_mentioned_is_terminated(patch):
    """A machine that a report lacks is taken for ended."""

    def gone(row, now, changes, events):
        changes.append(Put(replace(lifecycle._gone(row, now), version=row.version + 1)))

    patch(reports, "_forgotten", gone)


@bug
def silent_nodes_claims_are_released(patch):
    """What an unreachable node holds is counted as free."""
    real = view._Draft.target

    def generous(self, n):
        target = real(self, n)
        return target if target.usable or n.admin_state != "active" else replace(target, claimed=Size())

    patch(view._Draft, "target", generous)


@bug
def usage_begins_when_it_ends(patch):
    """The moment since when it runs is not kept."""
    real = lifecycle.observe

    def timeless(i, m, now, since):
        seen = real(i, m, now, since)
        return seen and replace(seen, row=replace(seen.row, running_since=now))

    patch(lifecycle, "observe", timeless)


# ---------------------------------------------------------------------------------------------------- fencing
@bug
def fenced_and_still_wanted(patch):
    """A fence marks the node and leaves its instances as they are."""
    real = nodes.fence

    def only_the_node(by, name):
        verb = real(by, name)
        return lambda v, now: replace(out := verb(v, now), changes=out.changes[:1])

    patch(nodes, "fence", only_the_node)


@bug
def fenced_disks_are_deleted(patch):
    """A fenced node that comes back is told to delete, not to set aside."""
    real = CloudController._send_away
    patch(
        CloudController,
        "_send_away",
        lambda self, node, machine: real(self, node, {**machine, "keep_disk": False}),
    )


@bug
def a_node_added_again_is_in_use_at_once(patch):
    """One that was fenced counts as empty when it is added again, before it has said so."""
    real = nodes.add

    def at_once(by, zone, host):
        verb = real(by, zone, host)

        def active(v, now):
            out = verb(v, now)
            node = replace(out.changes[0].row, admin_state="active")
            return replace(out, changes=(Put(node), *out.changes[1:]))

        return active

    patch(nodes, "add", at_once)


@bug
def a_fenced_host_goes_on_where_it_was(patch):
    """What was accepted before the power cut is begun without being asked for again."""
    for module in (observed, work):
        patch(module, "left_over", lambda record, boot_id: False)


# ---------------------------------------------------------------------------------------------------- the node
@bug
def an_older_generation_is_accepted(patch):
    """A late ensure replaces what is newer."""
    real = NodeService._accept

    def accept(self, instance_id, generation, spec):
        record = self._machines.get(instance_id)
        if record is not None and generation < record.generation:
            self._machines.pop(instance_id)
            self._taken -= state.held(record)
        real(self, instance_id, generation, spec)

    patch(NodeService, "_accept", accept)


@bug
def each_ensure_starts(patch):
    """A repeated ensure begins from the beginning, also after the machine ended."""
    real = NodeService._accept

    def accept(self, instance_id, generation, spec: MachineSpec):
        real(self, instance_id, generation, spec)
        record = self._machines[instance_id]
        if record.want == Intent.RUNNING and record.generation == generation:
            self._save(replace(record, settled=False, started=False, seen=Seen.PREPARING))

    def may_start(there, mark):
        return there is None or not there.running or marks.may_start(there, mark)

    patch(NodeService, "_accept", accept)
    patch(simulated, "may_start", may_start)


@bug
def no_tombstone(patch):
    """What was removed is not remembered: a late ensure makes it anew."""
    patch(Records, "bury", lambda self, tombstone: None)
    real = NodeService._remove

    def remove(self, instance_id):
        real(self, instance_id)
        with self._lock:
            tombstone = self._tombstones.pop(instance_id, None)
            if tombstone is not None:  # told once more, then gone
                self._tombstones[instance_id] = replace(tombstone, generation=0)

    patch(NodeService, "_remove", remove)


@bug
def removed_before_the_tombstone(patch):
    """The disk goes first, the reason why is written afterwards."""
    real = Records.bury

    def late(self, tombstone):
        import shutil

        if not tombstone.keep_disk:
            shutil.rmtree(self.folder(tombstone.instance_id), ignore_errors=True)
        for _ in range(12):  # whoever is to die soon dies here
            self.crash_here()
        real(self, tombstone)

    init = NodeService.__init__

    def prepared(self, *args, **values):
        init(self, *args, **values)
        self._records.crash_here = lambda: self._crash("removed")

    patch(Records, "bury", late)
    patch(NodeService, "__init__", prepared)


@bug
def absent_is_told_while_it_still_runs(patch):
    """The tombstone is reported as soon as it is written, not when the domain is gone."""
    real = NodeService._compose

    def hasty(self):
        removing, machines = self._removing, self._machines
        self._removing = set()
        self._machines = {i: r for i, r in machines.items() if i not in removing}
        try:
            return real(self)
        finally:
            self._removing, self._machines = removing, machines

    patch(NodeService, "_compose", hasty)


@bug
def a_reset_is_done_for_every_call(patch):
    """The reboot counter is not compared with what was recorded."""
    real = NodeService._accept_reboot

    def again(self, instance_id, generation, item):
        record = self._machines.get(instance_id)
        if record is not None and record.reboots == item.get("reboots"):
            self._machines[instance_id] = replace(record, reboots=record.reboots - 1)
        real(self, instance_id, generation, item)

    patch(NodeService, "_accept_reboot", again)


@bug
def killed_in_between_it_starts_again(patch):
    """After a restart of the daemon nobody looks whether it runs already or has ended."""
    real = NodeService.__init__

    def amnesiac(self, *args, **values):
        real(self, *args, **values)
        for instance_id, record in list(self._machines.items()):
            if record.want == Intent.RUNNING:
                self._machines[instance_id] = replace(
                    record, started=False, settled=False, seen=Seen.PREPARING
                )

    patch(NodeService, "__init__", amnesiac)
    patch(simulated, "may_start", lambda there, mark: True)


# --------------------------------------------------------------------------------------- images made from machines
@bug
def another_images_receipt_is_believed(patch):
    """The receipt is genuine, so it is good for whatever the node says it is for."""
    patch(captures, "_objection", lambda image, row, receipt: "")


@bug
def a_deregistered_image_goes_on_being_made(patch):
    """Deregistering forgets the image and not its capture."""
    real = images.remove

    def remove(caller, image_id):
        verb = real(caller, image_id)

        def without(v, now):
            out = verb(v, now)
            return replace(out, changes=out.changes[:1])

        return without

    patch(images, "remove", remove)


@bug
def a_node_does_not_forget(patch):
    """It notes that a capture is over, and keeps the copy."""
    patch(Captures, "_tidy", lambda self, image_id, keep_copy=False: None)


@bug
def what_is_over_is_not_told_to_the_node(patch):
    """Only what the node reports as done is to be forgotten; a failure is known to it."""
    real = captures.take

    def take(v, zone, told, shown, now):
        out = real(v, zone, told, shown, now)
        done = {image for (_, image) in shown}
        return replace(out, result=[pair for pair in out.result if pair[1] in done])

    patch(captures, "take", take)


# ------------------------------------------------------------------------------------------- launches that wait
@bug
def who_waits_counts_against_no_quota(patch):
    """Nothing is claimed, so nothing is counted."""
    patch(lifecycle, "counted", lifecycle.claim)


@bug
def a_restart_forgets_who_waits(patch):
    """The row is written and never read."""
    real = Store.rows
    patch(
        Store,
        "rows",
        lambda self, since: (row for row in real(self, since) if not isinstance(row, WaitingLaunch)),
    )


@bug
def nobody_is_given_up(patch):
    """Whoever waits does so for ever."""
    real = waiting.decide

    def patient(v, now):
        actions, due = real(v, now)
        return [a for a in actions if not isinstance(a, waiting.GiveUp)], due

    patch(waiting, "decide", patient)


@bug
def who_waited_takes_room_that_others_took(patch):
    """The transaction believes what was so when the policies were asked."""
    real = waiting.place

    def credulous(v, now, **asked):
        checked, launch.still_fits = launch.still_fits, lambda *_: None
        try:
            return real(v, now, **asked)
        finally:
            launch.still_fits = checked

    patch(waiting, "place", credulous)


# ------------------------------------------------------------------------------------------------ what policies want
@bug
def one_on_its_way_to_bed_takes_machines(patch):
    """A node is out of use when it is silent, not from the moment at which it was told to sleep."""
    real = view._unusable
    patch(view, "_unusable", lambda n, zone, node: real(replace(n, power="on"), zone, node))


@bug
def a_later_notice_takes_the_place_of_the_first(patch):
    """A policy says the same as long as the same is so: each time the notice begins anew."""
    real = tending.evict

    def anew(v, now, policy, action, letter):
        old = v.leases.get(action.instance)
        without = v.leases.delete(action.instance) if old is not None and old.evicted else v.leases
        return real(v._replace(leases=without), now, policy, action, letter)

    patch(tending, "evict", anew)


@bug
def a_notice_is_not_waited_for(patch):
    """Who is to go goes when it is told."""
    real = tending.evict
    patch(
        tending, "evict", lambda v, now, p, action, letter: real(v, now, p, replace(action, notice=0), letter)
    )


RESTLESS = {  # these show themselves only where a policy tends
    "one_on_its_way_to_bed_takes_machines",
    "a_later_notice_takes_the_place_of_the_first",
    "a_notice_is_not_waited_for",
}

QUEUES = {  # these show themselves only where launches wait
    "who_waits_counts_against_no_quota",
    "a_restart_forgets_who_waits",
    "nobody_is_given_up",
    "who_waited_takes_room_that_others_took",
}

CAPTURES = {  # these show themselves only where images are made
    "another_images_receipt_is_believed",
    "a_deregistered_image_goes_on_being_made",
    "a_node_does_not_forget",
    "what_is_over_is_not_told_to_the_node",
}
