"""People apply while the mail server is down and the cloud controller is killed: each mail arrives, once, over STARTTLS
with a certificate that the settings name, after a log-in."""

from __future__ import annotations

import email
import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cloud_process import CloudProcess, eventually
from form_browser import FormBrowser

from euca_rpc.wire.web_certificate import make_web_certificate

SETTINGS = """\
[mail]
server = "127.0.0.1"
port = {port}
security = "starttls"
authority = "{authority}"
user = "euca"
password_file = "mail.password"
sender = "euca@example.org"
"""
PASSWORD = "let me send"


class Taken:
    """What the mail server said 250 to."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.open: list[bool] = []  # whether a message came outside TLS

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.open.append(session.ssl is None or not session.authenticated)
        self.messages.append(email.message_from_bytes(envelope.content))
        return "250 taken"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cloud(tmp_path: Path, port: int) -> Iterator[CloudProcess]:
    make_web_certificate(tmp_path / "mail", ("127.0.0.1",))
    settings = SETTINGS.format(port=port, authority=tmp_path / "mail" / "cert.pem")
    made = CloudProcess(tmp_path / "home", zones=1, nodes=1, settings=settings)
    password = made.home / "mail.password"
    password.touch(0o600)
    password.write_text(f"{PASSWORD}\n")
    made.euca("init", "--port", str(made.port), "--admin-email", "admin@example.org")
    made.start()
    yield made
    made.stop()


def apply(cloud: CloudProcess, name: str) -> None:
    password = "correct horse battery"
    told = {"user_name": name, "password": password, "password_again": password, "full_name": "Some Body"}
    seen = FormBrowser(cloud).send("/apply", {**told, "email": f"{name}@example.org"})
    assert seen.path == "/applied", seen.text


def mail_server(taken: Taken, port: int, certificate: Path) -> Controller:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    known = LoginPassword(b"euca", PASSWORD.encode())
    return Controller(
        taken,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=lambda *told: AuthResult(success=told[-1] == known),
    )


def test_an_outage_and_a_kill_lose_no_mail_and_repeat_none(
    cloud: CloudProcess, port: int, tmp_path: Path
) -> None:
    taken = Taken()
    server = mail_server(taken, port, tmp_path / "mail")
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
    assert taken.open == [False] * 4
    names = sorted(re.search(r"\] (\w+) asks", m["Subject"])[1] for m in taken.messages)  # type: ignore[index]
    assert names == ["ann", "bob", "cem", "dan"]
