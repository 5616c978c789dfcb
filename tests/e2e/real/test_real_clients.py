"""One story of twelve steps, told with every client that people have, each with a machine of its own and ssh into it:

zones · images · key pair · run · until it runs · describe and ssh · console · reboot ·
a wrong key, a revoked one and an expired message are refused · terminate and delete the key
"""

from __future__ import annotations

import hashlib
import importlib
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

real_cloud: Any = sys.modules["real_cloud"]
eventually = real_cloud.eventually

CLIENTS = {  # the slowest first
    "awscli": "awscli.Awscli",
    "zeep-2008-02-01": "zeep.Zeep",
    "zeep-2008-12-01": "zeep.Zeep2008December",
    "boto3-sigv4": "boto3.Boto3",
    "boto3-sigv2": "boto3.Boto3Signature2",
    "boto2-sigv4": "boto2.Boto2Signature4",
    "boto2-sigv2": "boto2.Boto2",
    "boto2-sigv1": "boto2.Boto2Signature1",
    "curl-sigv4": "curl.Curl",
}
DISK = "zeep-2010-08-31"
TOO_LATE = 20 * 60  # seconds; a message is good for fifteen minutes, in SOAP for five
AT_ONCE = 4  # stories: a guest that boots takes a whole core for seconds


adapters: Any = sys.modules["real_clients"]  # put there by the conftest above


@dataclass
class Story:
    """One client, a user of its own, and what they have come to."""

    real: Any
    name: str
    adapter: Any
    zone: str
    id: str = ""
    guest: Any = None

    def __post_init__(self) -> None:
        self.real.ask("user_add", name=self.name)
        self.own, self.other = self.proof(), self.proof()
        self.client = self.adapter(self.real, self.own)

    def proof(self) -> Any:
        made = self.real.ask("credentials_create", user=self.name)
        return adapters.Proof(**{it.name: made[it.name] for it in fields(adapters.Proof)})

    @property
    def key(self) -> Path:
        return Path(self.real.home / f"{self.name}.pem")

    def refused(self, client: Any) -> str:
        """The code with which it is refused; what it asked for is not done."""
        name = f"{self.name} is refused"
        try:
            client.make_key(name)
        except adapters.Refused as refused:
            assert name not in self.client.key_names()
            return str(refused.code)
        raise AssertionError("it was not refused")


def host_name(shown: Any) -> str:
    """As a machine is told to call itself."""
    return f"ip-{shown.private.replace('.', '-')}"


# ------------------------------------------------------------------------------------------------- the twelve steps
def zones(it: Story) -> None:
    assert it.client.zones() == list(it.real.zones)


def images(it: Story) -> None:
    assert it.real.add_image() in it.client.images()


def key_pair(it: Story) -> None:
    it.key.touch(0o600)
    it.key.write_text(it.client.make_key(it.name))
    assert it.name in it.client.key_names()


def run(it: Story) -> None:
    it.id = it.client.run(it.real.add_image(), it.name, it.zone)


def until_it_runs(it: Story) -> None:
    eventually("running", lambda: it.client.describe(it.id).state == "running", 60.0)


def describe_and_ssh(it: Story) -> None:
    shown = it.client.describe(it.id)
    assert shown == adapters.Shown("running", shown.address, shown.private, it.name, it.zone, "m1.small")
    it.guest = real_cloud.Guest(it.id, shown.address, shown.private, it.key, it.zone)
    it.guest.up()
    said = eventually("it says who it is", lambda: it.guest.run("uname -s; hostname"), 60.0)
    assert said == f"Linux\n{host_name(shown)}"


def console(it: Story) -> None:
    assert real_cloud.READY in eventually("the console", lambda: it.client.console(it.id), 20.0)


def reboot(it: Story) -> None:
    before = it.guest.up()
    it.client.reboot(it.id)
    it.guest.again(before)


def a_wrong_key(it: Story) -> None:
    parts = {"secret_key": it.other.secret_key, "private_key_pem": it.other.private_key_pem}
    assert it.refused(it.adapter(it.real, replace(it.own, **parts))) == "AuthFailure"


def a_revoked_key(it: Story) -> None:
    client = it.adapter(it.real, it.other)
    assert client.zones() == list(it.real.zones), "it was good a moment ago"
    certificate = ssl.PEM_cert_to_DER_cert(it.other.certificate_pem)
    it.real.ask("key_delete", id=it.other.access_key)
    it.real.ask("certificate_revoke", id=hashlib.sha256(certificate).hexdigest())
    assert it.refused(client) == "AuthFailure"


def an_expired_message(it: Story) -> None:
    assert it.refused(it.adapter(it.real, it.own, late=TOO_LATE)) == it.adapter.expired


def the_end(it: Story) -> None:
    assert it.client.terminate(it.id) == [it.id]
    eventually("terminated", lambda: it.client.describe(it.id).state == "terminated", 30.0)
    assert it.guest.life() is None
    it.client.delete_key(it.name)
    assert it.name not in it.client.key_names()


STEPS = (
    zones,
    images,
    key_pair,
    run,
    until_it_runs,
    describe_and_ssh,
    console,
    reboot,
    a_wrong_key,
    a_revoked_key,
    an_expired_message,
    the_end,
)


# ------------------------------------------------------------------------------------- what a machine's disk holds
WRITTEN = "by ssh"


def write(it: Story) -> None:
    it.guest.write(WRITTEN)


def stop_and_start(it: Story) -> None:
    before = it.guest.up()
    it.client.stop(it.id)
    eventually("stopped", lambda: it.client.describe(it.id).state == "stopped", 60.0)
    assert it.guest.life() is None
    it.client.start(it.id)
    assert it.guest.again(before).written == WRITTEN


def an_image_of_it_and_a_machine_of_that(it: Story) -> None:
    before = it.guest.up()
    image = it.client.create_image(it.id, "made by zeep")
    eventually("the image is there", lambda: it.client.image_state(image) == "available", 120.0)
    second = it.client.run(image, it.name, it.zone)
    try:
        eventually("running", lambda: it.client.describe(second).state == "running", 60.0)
        shown = it.client.describe(second)
        guest = real_cloud.Guest(second, shown.address, shown.private, it.key, it.zone)
        assert guest.up().written == WRITTEN
        assert guest.run("hostname") == host_name(shown)
        assert it.guest.up().boot_id == before.boot_id, "the first one went on"
    finally:
        it.client.terminate(second)
        eventually("terminated", lambda: it.client.describe(second).state == "terminated", 30.0)
    it.client.deregister(image)


OF_THE_DISK = (
    key_pair,
    run,
    until_it_runs,
    describe_and_ssh,
    write,
    stop_and_start,
    an_image_of_it_and_a_machine_of_that,
    the_end,
)


# ------------------------------------------------------------------------------------------------------ the telling
def tell(real: Any, name: str, path: str, zone: str, steps: Sequence[Callable[[Story], None]]) -> None:
    module, _, cls = path.partition(".")
    adapter = getattr(importlib.import_module(f"{adapters.__name__}.{module}"), cls)
    story = Story(real, name, adapter, zone)
    try:
        for number, step in enumerate(steps, 1):
            try:
                step(story)
            except Exception as error:
                raise AssertionError(f"{name}, step {number}, {step.__name__}: {error}") from error
    finally:
        real.terminate([story.id] if story.id else [])


STORIES = {DISK: ("zeep.Zeep2010", OF_THE_DISK)} | {name: (path, STEPS) for name, path in CLIENTS.items()}


@pytest.fixture(scope="module")
def told(real: Any, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """Those that this run asks for, several at once: most of each is waiting for a guest that boots."""
    asked = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    real.client()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(tell, real, name, path, real.zones[number % 2], steps)
            for number, (name, (path, steps)) in enumerate(STORIES.items())
            if name in asked
        }


@pytest.mark.parametrize("name", CLIENTS)
def test_the_story_of_twelve_steps_with(told: dict[str, Future[None]], name: str) -> None:
    told[name].result(timeout=600)


@pytest.mark.parametrize("name", [DISK])
def test_what_ssh_wrote_survives_stop_and_start_and_is_in_an_image_of_the_machine(
    told: dict[str, Future[None]], name: str
) -> None:
    told[name].result(timeout=600)
