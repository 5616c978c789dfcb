"""Work in steps, driven by the thread that wants the result."""

from __future__ import annotations

import threading

import pytest

from euca_rpc import steps
from euca_rpc.steps import Pending, Steps, waited


def test_each_is_hurried_and_waited_for_before_the_next_step():
    story = []

    def pending(name: str) -> Pending:
        def hurry() -> None:
            story.append(f"hurry {name}")
            made.set_result(name)

        made = Pending(hurry)
        return made

    def work() -> Steps[list[str]]:
        came = []
        for name in ("a", "b"):
            story.append(f"ask {name}")
            yield (asked := pending(name))
            came.append(asked.result(0))
        return came

    assert waited(work()) == ["a", "b"]
    assert story == ["ask a", "hurry a", "ask b", "hurry b"]


def test_what_another_thread_ends_is_waited_for():
    def later() -> None:
        threading.Timer(0.05, pending.set_result, ("done",)).start()

    pending = Pending(later)

    def work() -> Steps[str]:
        yield pending
        result: str = pending.result(0)
        return result

    assert waited(work()) == "done"


def test_a_failure_is_the_steps_own_to_look_at():
    pending = Pending(lambda: pending.set_exception(KeyError("taken")))

    def looks() -> Steps[str]:
        yield pending
        return repr(pending.exception(0))

    def does_not() -> Steps[str]:
        yield failed
        return "never here" + failed.result(0)

    assert waited(looks()) == "KeyError('taken')"
    failed = Pending(lambda: failed.set_exception(KeyError("taken")))
    with pytest.raises(KeyError, match="taken"):
        waited(does_not())


@pytest.mark.parametrize("first", [False, True])
def test_what_the_steps_raise_is_raised(first):
    def work() -> Steps[None]:
        if first:
            raise ZeroDivisionError
        pending = Pending(lambda: pending.set_result(None))
        yield pending
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        waited(work())


def test_nothing_is_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(steps, "PATIENCE", 0.05)

    def work() -> Steps[None]:
        yield Pending(lambda: None)

    with pytest.raises(TimeoutError):
        waited(work())
