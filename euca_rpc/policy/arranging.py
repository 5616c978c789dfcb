"""What a policy's `arrange` may say: every placement is verified by the core's own arithmetic before it counts.

    {index of the machine: target id}   those that it leaves out are placed nowhere now
    None                                no opinion: machines are placed one by one, by `score`

One bad placement spoils the whole answer: it is a failure of the policy, and placing goes on as if it had said None.
A batch holds the machines of one new launch, or of all launches that wait; the machines of one reservation lie side by
side in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from euca_rpc.policy.ranking import unfit
from euca_rpc.policy.values import Launch, LaunchClass, Target

Allowed = Callable[[LaunchClass, Target], str]  # "" or why the zone's policy does not let it go there


class Nonsense(Exception):
    """What is wrong with the answer."""


def launch_class(launch: Launch) -> LaunchClass:
    hints = tuple(sorted(launch.hints.items()))
    return LaunchClass(
        launch.vm_type, launch.size, launch.architecture, launch.zone, launch.service_class, hints
    )


def machines(launches: Sequence[Launch]) -> list[Launch]:
    """The batch: each launch as often as it wants machines."""
    return [launch for launch in launches for _ in range(launch.max_count)]


def verified(
    said: object, launches: Sequence[Launch], targets: Mapping[str, Target], allowed: Allowed
) -> list[tuple[str, ...]]:
    """Of each launch: the nodes of its machines, () if it gets none now.  `Nonsense`: the answer cannot be carried out."""
    if not isinstance(said, Mapping):
        raise Nonsense(f"it is {said!r:.100}, not None or a mapping of index to target")
    total = sum(launch.max_count for launch in launches)
    for index in said:
        if type(index) is not int or not 0 <= index < total:
            raise Nonsense(f"it places machine {index!r:.40}; the batch has {total}, counted from 0")
    draft: dict[str, Target] = {}
    answer: list[tuple[str, ...]] = []
    first = 0
    for launch in launches:
        cls = launch_class(launch)
        nodes = []
        for index in range(first, first + launch.max_count):
            if index in said:
                nodes.append(_given(said[index], index, cls, draft, targets, allowed))
        first += launch.max_count
        if 0 < len(nodes) < launch.min_count:
            whose = launch.reservation_id or "the launch"
            raise Nonsense(f"it gives {whose} {len(nodes)} machines, which needs {launch.min_count}")
        answer.append(tuple(nodes))
        for id in set(nodes):  # `batch` counts the machines of one launch
            draft[id] = replace(draft[id], batch=0)
    return answer


def _given(
    id: object,
    index: int,
    cls: LaunchClass,
    draft: dict[str, Target],
    targets: Mapping[str, Target],
    allowed: Allowed,
) -> str:
    target = draft.get(id) or targets.get(id) if isinstance(id, str) else None
    if target is None:
        raise Nonsense(f"machine {index} goes to {id!r:.60}, which is no target")
    if (kind := unfit(cls, cls.zone, target)) is not None:
        raise Nonsense(f"machine {index} does not fit on {id}: {kind}")
    if why := allowed(cls, target):
        raise Nonsense(f"machine {index} may not go to {id}: {why}")
    draft[target.id] = replace(
        target, claimed=target.claimed + cls.size, machines=target.machines + 1, batch=target.batch + 1
    )
    return target.id
