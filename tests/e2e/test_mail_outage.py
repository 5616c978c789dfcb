"""People apply while the mail server is down and the cloud controller is killed: each mail arrives, once."""

from __future__ import annotations

import email
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from cloud_process import CloudProcess, eventually
from form_browser import FormBrowser

SETTINGS = """\
[mail]
server = "127.0.0.1"
port = {port}
security = "none"
sender = "euca@example.org"
"""


class Taken:
    """What the mail server said 250 to."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(email.message_from_bytes(envelope.content))
        return "250 taken"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cloud(tmp_path: Path, port: int) -> Iterator[CloudProcess]:
    made = CloudProcess(tmp_path / "home", zones=1, nodes=1, settings=SETTINGS.format(port=port))
    made.euca("init", "--port", str(made.port), "--admin-email", "admin@example.org")
    made.start()
    yield made
    made.stop()


def apply(cloud: CloudProcess, name: str) -> None:
    password = "correct horse battery"
    told = {"user_name": name, "password": password, "password_again": password, "full_name": "Some Body"}
    seen = FormBrowser(cloud).send("/apply", {**told, "email": f"{name}@example.org"})
    assert seen.path == "/applied", seen.text


def test_an_outage_and_a_kill_lose_no_mail_and_repeat_none(cloud: CloudProcess, port: int) -> None:
    taken = Taken()
    server = Controller(taken, hostname="127.0.0.1", port=port)
    apply(cloud, "ann")
    apply(cloud, "bob")
    eventually("the outage is noticed", lambda: "no mail is sent" in cloud.log("cloud"))
    cloud.restarted("cloud", cloud.kill("cloud"))
    server.start()
    try:
        eventually("it serves again", lambda: apply(cloud, "cem") is None)
        eventually("all three", lambda: len(taken.messages) >= 3)
        cloud.restarted("cloud", cloud.kill("cloud"))
        eventually("it serves again", lambda: apply(cloud, "dan") is None)
        eventually("the fourth", lambda: len(taken.messages) >= 4)
    finally:
        server.stop()
    assert set(Counter(m["Message-ID"] for m in taken.messages).values()) == {1}
    names = sorted(re.search(r"\] (\w+) asks", m["Subject"])[1] for m in taken.messages)  # type: ignore[index]
    assert names == ["ann", "bob", "cem", "dan"]
