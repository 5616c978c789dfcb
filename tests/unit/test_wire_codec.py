"""Every value that crosses the wire comes back equal; nothing else comes back at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import msgpack
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from euca_rpc import machines, shown, types
from euca_rpc.errors import EucaError
from euca_rpc.wire import codec

CROSSING = [
    types.Size,
    machines.BlobRef,
    machines.MachineSpec,
    machines.MachineReport,
    machines.NodeReport,
    types.Instance,
    types.Image,
    types.LaunchRequest,
    shown.Reach,
    shown.ZoneStatus,
    shown.InstanceStatus,
    shown.Launched,
    shown.Console,
    types.Node,
    types.User,
    types.Quota,
]
SIZE = types.Size(2, 1024, 10)
REPORT = machines.NodeReport(
    "open/host1", "boot", "qemu", "x86_64", SIZE, 7, (machines.MachineReport("i-1", 1, 0, "running"),)
)

integers = st.integers(-(2**63), 2**63 - 1)
garbage = st.recursive(
    st.none() | st.booleans() | integers | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("cls", CROSSING, ids=lambda cls: cls.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_value_survives_the_wire(cls: type, data: st.DataObject) -> None:
    value = data.draw(st.builds(cls, **{name: st.from_type(hint) for name, hint in _hints(cls).items()}))
    try:
        wire = msgpack.unpackb(msgpack.packb(codec.pack(value)), raw=False)
    except OverflowError:  # more than 64 bits: not what the wire carries
        reject()
    assert codec.unpack(cls, wire) == value


def _hints(cls: type) -> dict[str, object]:
    from typing import get_type_hints

    return get_type_hints(cls)


@pytest.mark.parametrize("cls", CROSSING, ids=lambda cls: cls.__name__)
@settings(max_examples=50, deadline=None)
@given(value=garbage)
def test_garbage_is_refused_with_an_error_of_ours(cls: type, value: object) -> None:
    with suppress(EucaError):  # anything else escapes and fails the test
        assert type(codec.unpack(cls, value)) is cls


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(codec.pack(REPORT))), value=garbage)
def test_one_field_of_garbage_never_becomes_another_type(name: str, value: object) -> None:
    with suppress(EucaError):
        read = codec.unpack(machines.NodeReport, {**codec.pack(REPORT), name: value})
        assert type(getattr(read, name)) is type(getattr(REPORT, name))


def test_an_unknown_field_is_ignored_and_counted() -> None:
    before = codec.unknown_fields()
    assert codec.unpack(types.Size, {"cores": 1, "gpus": 4, "color": "red"}) == types.Size(cores=1)
    assert codec.unknown_fields() == before + 2


def test_a_missing_field_is_named() -> None:
    wire = codec.pack(REPORT)
    del wire["boot_id"]
    with pytest.raises(EucaError, match="NodeReport lacks its field boot_id") as caught:
        codec.unpack(machines.NodeReport, wire)
    assert caught.value.symbol == "parameter_missing"


def test_a_wrong_type_deep_inside_is_named_and_its_value_is_not_shown() -> None:
    wire = codec.pack(REPORT)
    wire["machines"][0]["generation"] = "s3cret"
    with pytest.raises(
        EucaError, match=r"NodeReport\.machines\[0\]\.generation must be an integer, not str"
    ) as caught:
        codec.unpack(machines.NodeReport, wire)
    assert caught.value.symbol == "parameter_invalid"
    assert "s3cret" not in caught.value.sentence


def test_true_is_not_the_number_one() -> None:
    with pytest.raises(EucaError, match=r"Size\.cores must be an integer, not bool"):
        codec.unpack(types.Size, {"cores": True})


def test_an_enumeration_takes_its_own_words_only() -> None:
    instance = codec.pack(_instance())
    assert codec.unpack(types.Instance, instance).intent is types.Intent.STOPPED
    with pytest.raises(EucaError, match="one of running, stopped, terminated"):
        codec.unpack(types.Instance, {**instance, "intent": "exploded"})


def _instance() -> types.Instance:
    texts = [
        "id",
        "reservation_id",
        "account_id",
        "created_by",
        "image_id",
        "architecture",
        "vm_type",
        "zone",
        "node",
    ]
    blank = dict.fromkeys(texts, "")
    return types.Instance(
        **blank,
        launch_index=0,
        kernel_id=None,
        ramdisk_id=None,
        cores=1,
        memory_mb=1,
        disk_gb=1,
        key_name=None,
        public_key="",
        user_data=b"",
        mac="",
        private_address="",
        public_address="",
        client_token=None,
        shutdown_behavior="stop",
        service_class="regular",
        launched_at=0,
        intent=types.Intent.STOPPED,
    )


@dataclass(frozen=True)
class Tagged:
    tags: Mapping[str, str]
    pair: tuple[str, int] = ("", 0)


def test_mappings_and_fixed_tuples() -> None:
    value = Tagged({"a": "b"}, ("x", 1))
    assert codec.unpack(Tagged, codec.pack(value)) == value
    with pytest.raises(EucaError, match="mapping with text keys"):
        codec.unpack(Tagged, {"tags": {1: "b"}})
    with pytest.raises(EucaError, match="a list of 2"):
        codec.unpack(Tagged, {"tags": {}, "pair": ["x"]})


def test_what_cannot_cross_is_refused_by_its_type() -> None:
    with pytest.raises(EucaError, match="type set"):
        codec.pack({"a": {1, 2}})
    with pytest.raises(EucaError, match="key of type int"):
        codec.pack({1: "a"})
    with pytest.raises(EucaError, match="type object"):
        codec.pack([object()])


def test_depth_is_bounded() -> None:
    deep: list[object] = []
    for _ in range(codec.DEPTH + 1):
        deep = [deep]
    with pytest.raises(EucaError, match="nested"):
        codec.pack(deep)


def test_a_changed_value_packs_to_something_else() -> None:
    assert codec.pack(REPORT) != codec.pack(replace(REPORT, version=8))
