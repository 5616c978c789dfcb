"""`changed` is `dataclasses.replace`."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.changed import changed
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
