"""Whatever happens on a node and whichever answers are lost, each receiver of deltas has what the whole report says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.deltas import Told

IDS = [f"i-{n:08x}" for n in range(5)]
Machines = dict[str, Any]


class Receiver:
    """As a cluster controller, and as the cloud controller: one answer at a time, some of which are lost."""

    def __init__(self) -> None:
        self.told: Told | None = None

    def ask(self, source: Told) -> dict[str, Any]:
        return source.words(self.told.version if self.told else None, True)

    def take(self, words: dict[str, Any]) -> None:
        machines = {m["instance_id"]: m for m in words["machines"]}
        if "since" not in words:
            self.told = Told.whole(words["version"], machines)
        else:
            self.told = self.told and self.told.taken(
                words["version"], words["since"], machines, words["gone"]
            )


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(IDS)),
        st.tuples(st.just("forget"), st.sampled_from(IDS)),
        st.tuples(st.just("tell"), st.sampled_from(["cluster", "cluster lost", "cloud", "cloud lost"])),
        st.tuples(st.just("start"), st.integers(0, 50)),
        st.tuples(st.just("late"), st.just("cluster")),
        st.tuples(st.just("cluster starts"), st.just("")),
    ),
    max_size=60,
)


@given(steps)
def test_what_a_receiver_has_is_what_the_whole_report_of_that_version_says(
    story: list[tuple[str, Any]],
) -> None:
    machines: Machines = {}
    node = Told.whole(7, {})
    cluster, cloud = Receiver(), Receiver()
    whole: dict[int, Machines] = {7: {}}  # by version
    late: list[dict[str, Any]] = []
    for kind, what in story:
        if kind in ("put", "forget"):
            machines = {id: m for id, m in machines.items() if id != what}
            if kind == "put":
                machines[what] = {"instance_id": what, "in": node.version + 1}
            node = node.next(node.version + 1, machines)
            whole[node.version] = machines
        elif kind == "start":  # the daemon; its versions are others, and what it has is told anew
            version = 1000 * (node.version // 1000 + 1) + what
            node = Told.whole(version, machines)
            whole[version] = machines
        elif kind == "cluster starts":
            cluster = Receiver()
        elif kind == "late" and late:  # an answer that was given up arrives after others
            cluster.take(late.pop())
        elif kind == "tell":
            source = node if what.startswith("cluster") else cluster.told
            receiver = cluster if what.startswith("cluster") else cloud
            if source is None:
                continue
            words = receiver.ask(source)
            if what.endswith("lost"):
                late = [words]
            else:
                receiver.take(words)
        for receiver in (cluster, cloud):
            if receiver.told is not None:
                assert dict(receiver.told.machines) == whole[receiver.told.version]
    cluster.take(cluster.ask(node))
    if cluster.told is None:
        cluster.take(cluster.ask(node))
    assert cluster.told is not None
    assert (cluster.told.version, dict(cluster.told.machines)) == (node.version, machines)


def test_changes_of_what_is_long_gone_are_not_kept_for_ever() -> None:
    told = Told.whole(1, {})
    for version in range(2, 5000):
        told = told.next(version, {f"i-{version:08x}": {}})
    assert len(told.at) < 1100
    assert "since" not in told.words(1, True), "who asks so seldom is told all"
    assert told.words(4998, True)["gone"] == ["i-00001386"]
