"""`changed` is `dataclasses.replace`, and a `quick` class is the dataclass that it was."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.cloud.store import ROWS
from euca_rpc.frozen import changed, quick
from euca_rpc.policy.values import Target
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


T = TypeVar("T")


@dataclass(frozen=True)
class Open:
    size: int


@dataclass(frozen=True, slots=True)
class Plain:
    kind: str  # as one of the words that the constructor is made with
    size: Size
    usual: int = 7
    made: list[int] = field(default_factory=list)
    twice: int = field(init=False, default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self.usual)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    kind: str
    size: Size
    usual: int = 7
    made: list[int] = field(default_factory=list)
    twice: int = field(init=False, default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self.usual)


@dataclass(frozen=True, slots=True)
class Of(Generic[T]):
    size: T


def test_a_class_that_is_more_than_its_fields_is_refused() -> None:
    with pytest.raises(TypeError, match="a Quick is more than its fields"):
        changed(Quick("a", Size()), usual=2)
    for kind in (Open, Of):
        for what in (lambda kind: changed(kind(1), size=2), quick):
            with pytest.raises(
                TypeError, match=f"{kind.__name__} has not one slot for each field and nothing"
            ):
                what(kind)


@pytest.mark.parametrize(
    ("given", "named"),
    [(("a", Size(1)), {}), (("a", Size(1), 8, [1]), {}), (("a",), {"made": [2], "size": Size(2)})],
)
def test_the_constructor_makes_what_the_plain_one_does(given: tuple, named: dict) -> None:
    one, other = Quick(*given, **named), Plain(*given, **named)
    assert (type(one), asdict(one)) == (Quick, asdict(other))
    assert repr(one) == repr(other).replace("Plain", "Quick")
    assert (one == Quick(*given, **named), one == other, one == replace(one, usual=-1)) == (
        True,
        False,
        False,
    )
    for again in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), replace(one)):
        assert (type(again), again, again.twice) == (Quick, one, one.twice)
    with pytest.raises(FrozenInstanceError):
        one.usual = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        object.__setattr__(one, "other", 1)


def test_each_has_a_list_of_its_own() -> None:
    assert Quick("a", Size()).made is not Quick("a", Size()).made


@pytest.mark.parametrize(
    ("given", "named", "trouble"),
    [
        (("a",), {}, "missing 1 required positional argument: 'size'"),
        (("a", Size(), 1, [], 3), {}, "takes from 3 to 5 positional arguments but 6 were given"),
        (("a", Size()), {"sise": 1}, "unexpected keyword argument 'sise'"),
    ],
)
def test_what_it_cannot_take_is_told_as_ever(given: tuple, named: dict, trouble: str) -> None:
    for kind in (Plain, Quick):
        with pytest.raises(TypeError, match=trouble):
            kind(*given, **named)


def test_tools_see_the_same_constructor() -> None:
    one, other = inspect.signature(Quick), inspect.signature(Plain)
    assert list(one.parameters) == list(other.parameters)
    assert typing.get_type_hints(Quick.__init__) == typing.get_type_hints(Plain.__init__)
    assert typing.get_type_hints(Target.__init__)["offer"] is Size
