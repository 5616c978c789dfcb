"""`changed` is `dataclasses.replace`."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.changed import changed
from euca_rpc.cloud.store import ROWS
from euca_rpc.types import Size, VmType


@given(
    st.fixed_dictionaries(
        {}, optional={"cores": st.integers(), "memory_mb": st.integers(), "disk_gb": st.integers()}
    )
)
def test_it_is_what_replace_makes(new: dict[str, int]) -> None:
    before = VmType("t", 1, 2, 3, 4)
    after = changed(before, **new)
    assert after == replace(before, **new)
    assert before == VmType("t", 1, 2, 3, 4)


def test_an_unknown_field_is_refused_and_the_result_is_frozen() -> None:
    with pytest.raises(KeyError, match="cors"):
        changed(Size(1), cors=2)
    with pytest.raises(FrozenInstanceError):
        changed(Size(1), cores=2).cores = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_each_field_of_each_kind_of_row(kind: type) -> None:
    names = [field.name for field in fields(kind)]
    before = kind(*(f"old {name}" for name in names))
    for name in names:
        after = changed(before, **{name: "new"})
        assert (type(after), after) == (kind, replace(before, **{name: "new"}))


@dataclass(frozen=True, slots=True)
class Works:
    size: int

    def __post_init__(self) -> None:
        assert self.size > 0


@dataclass(frozen=True)
class Open:
    size: int


@pytest.mark.parametrize("row", [Works(1), Open(1)])
def test_a_class_that_is_more_than_its_fields_is_refused(row: object) -> None:
    with pytest.raises(TypeError, match="no plain row"):
        changed(row, size=2)
