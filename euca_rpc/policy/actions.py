"""What a policy may want to be done (`tend`): an open union of frozen values, and which of them make sense.

    tend(view) ─► [Warn, Evict, Suspend, Resume, Start, Stop, Admit, Hold, Drain, Undrain, Sleep, Wake, Publish, Again]

An action is a wish.  `objection` holds it against what the policy was shown: one about what was not there, or with a
notice of less than nothing, is the policy's mistake and is counted.  What has changed since is nobody's mistake: the
verb that carries an action out (`cloud.tending`) looks again, in its own transaction, and leaves what no longer fits.

A policy remembers nothing, so it says the same as long as the same is so.  Saying it twice does nothing twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, get_args

from euca_rpc.clock import HOUR, Micros
from euca_rpc.policy.said import LATEST
from euca_rpc.policy.values import PolicyView
from euca_rpc.types import Intent

LONGEST_REASON = 500
LARGEST = 64 * 1024  # bytes of a published value as JSON
MOST_ACTIONS = 1000  # of one answer
LONGEST_NOTICE: Micros = 30 * 24 * HOUR
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


# ----------------------------------------------------------------------------------------------- about machines
@dataclass(frozen=True, slots=True)
class Warn:
    """Tell the user of a machine something: a mail, and the machine's reason."""

    instance: str
    reason: str  # a sentence for the user


@dataclass(frozen=True, slots=True)
class Evict:
    """Terminate a machine when ``notice`` is over.  Its user is told now; the first notice given stands."""

    instance: str
    reason: str
    notice: Micros = 0


@dataclass(frozen=True, slots=True)
class Suspend:
    """Stop a machine, to go on with it later: its disk stays, and `Resume` starts what was suspended, nothing else."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Start a machine that a policy suspended, where its disk is; never one that its owner stopped."""

    instance: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a machine as its owner would: a calendar's evening."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a stopped machine, whoever stopped it: a calendar's morning."""

    instance: str
    reason: str = ""


# ------------------------------------------------------------------------------------- about launches that wait
@dataclass(frozen=True, slots=True)
class Admit:
    """Ask again at once whether a launch that waits may go; placing it is up to the core, as ever."""

    reservation: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A launch that waits goes on waiting, for this reason, until it is asked for again."""

    reservation: str
    reason: str
    until: Micros


# -------------------------------------------------------------------------------------------------- about nodes
@dataclass(frozen=True, slots=True)
class Drain:
    """No new machines there."""

    node: str  # "zone/host"
    reason: str


@dataclass(frozen=True, slots=True)
class Undrain:
    """Use a node again that a policy drained; what an administrator drained stays so."""

    node: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Put an empty node to sleep.  From this moment it takes no machine."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    node: str
    reason: str


# --------------------------------------------------------------------------------------------------- about facts
@dataclass(frozen=True, slots=True)
class Publish:
    """Let all policies see a value as ``view.published["POLICY.key"]``; None takes it back."""

    key: str
    value: Any  # what JSON can say


@dataclass(frozen=True, slots=True)
class Again:
    """Ask me at this moment at the latest, whether or not anything has changed."""

    at: Micros


Action: TypeAlias = (
    Warn
    | Evict
    | Suspend
    | Resume
    | Stop
    | Start
    | Admit
    | Hold
    | Drain
    | Undrain
    | Sleep
    | Wake
    | Publish
    | Again
)
KINDS: tuple[type, ...] = get_args(Action)


# -------------------------------------------------------------------------------------------------- what is sane
def objection(said: object, view: PolicyView) -> str:
    """Why ``said`` is no action on what the policy was shown; "" if it is one."""
    if type(said) not in KINDS:
        return f"there is no action {type(said).__name__}; there are {', '.join(k.__name__ for k in KINDS)}"
    for one in fields(said):  # type: ignore[arg-type]
        value = getattr(said, one.name)
        if one.name in ("notice", "until", "at"):
            if type(value) is not int or not 0 <= value <= LATEST:
                return f"its {one.name} is {value!r:.40}, not microseconds from 0"
        elif one.name != "value" and (type(value) is not str or len(value) > LONGEST_REASON):
            return f"its {one.name} is {value!r:.80}, not a text of at most {LONGEST_REASON} characters"
    return _missing(said, view)


def _missing(said: Any, view: PolicyView) -> str:
    match said:
        case Warn() | Evict() | Suspend() | Stop() | Resume() | Start():
            if said.instance not in view.instances:
                return f"there is no instance {said.instance!r}"
            if isinstance(said, Warn | Evict | Suspend | Stop) and not said.reason.strip():
                return "it has no reason, and a user is to read it"
            if isinstance(said, Evict) and said.notice > LONGEST_NOTICE:
                return f"a notice of {said.notice} µs is longer than {LONGEST_NOTICE // HOUR} hours"
            if isinstance(said, Resume | Start):
                return ""
            if view.instances[said.instance].intent is Intent.TERMINATED:
                return f"{said.instance} is at its end already"
        case Admit() | Hold():
            if said.reservation not in view.waiting:
                return f"no launch {said.reservation!r} waits"
        case Drain() | Undrain() | Sleep() | Wake():
            target = view.targets.get(said.node)
            if target is None:
                return f"there is no node {said.node!r}"
            if isinstance(said, Sleep) and target.machines:
                return f"{said.node} has {target.machines} machines: only an empty node is put to sleep"
        case Publish():
            return unpublishable(said.key, said.value)
    return ""


def unpublishable(key: object, value: object) -> str:
    """Why this cannot be seen as ``view.published[key]``; "" if it can."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return f"the key {key!r:.120} is not of letters, digits, dots, - and _, at most 100 of them"
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"the value of {key} cannot be said in JSON: {error}"
    if len(text) > LARGEST:
        return f"the value of {key} is {len(text)} characters of JSON; at most {LARGEST} are kept"
    return ""


def named(said: object) -> str:
    """What it is about, for a log line."""
    if type(said) not in KINDS:
        return type(said).__name__
    values: Mapping[str, Any] = {one.name: getattr(said, one.name) for one in fields(said)}  # type: ignore[arg-type]
    subject = next((str(values[k]) for k in ("instance", "node", "reservation", "key") if k in values), "")
    return f"{type(said).__name__} {subject}".strip()
