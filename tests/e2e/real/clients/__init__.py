"""The clients that people have, each behind one small adapter, so that one story is told with all of them.

An adapter speaks to the cloud with one proof of who asks, answers in plain values and raises `Refused`.  ``late`` is
how many seconds ago its messages were signed: each client signs them itself, by a clock that is slow by so much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Shown(NamedTuple):
    state: str
    address: str
    private: str
    key: str
    zone: str
    type: str


class Refused(Exception):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


@dataclass(frozen=True)
class Proof:
    """What `euca credentials` makes for a user: some clients sign with the one half, some with the other."""

    access_key: str
    secret_key: str
    certificate_pem: str
    private_key_pem: str


class Client(Protocol):
    expired: str  # the code by which it learns that a message is too old

    def __init__(self, real: Any, proof: Proof, late: int = 0) -> None: ...
    def zones(self) -> list[str]: ...
    def images(self) -> list[str]: ...
    def make_key(self, name: str) -> str: ...
    def key_names(self) -> list[str]: ...
    def run(self, image: str, key: str, zone: str) -> str: ...
    def describe(self, id: str) -> Shown: ...
    def console(self, id: str) -> str: ...
    def reboot(self, id: str) -> None: ...
    def terminate(self, id: str) -> list[str]: ...
    def delete_key(self, name: str) -> None: ...


def slow_clock(late: int) -> list[str]:
    """The words that come before a program whose clock is to be slow."""
    return ["faketime", "-f", f"-{late}s"] if late else []
