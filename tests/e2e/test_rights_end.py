"""Whose machines are whose, and when rights end, with real daemons: an administrator sees and ends anybody's machine, another
user does neither; a deleted user is refused at the very next request on each way in, and after a kill as well."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soap_letters as letters
from botocore.exceptions import ClientError
from cloud_process import CloudProcess, eventually, free_ports
from form_browser import FormBrowser

SETTINGS = """\
[cloud]
interfaces = ["ec2", "rest", "portal"]

[interface.rest]
port = {rest}

[node]
cores = 4
memory_mb = 8192
disk_gb = 100
"""
PASSWORD = "correct horse battery"
NAMELESS = '<DescribeKeyPairs xmlns="http://ec2.amazonaws.com/doc/2008-12-01/"><keySet/></DescribeKeyPairs>'


class Town(CloudProcess):
    """A cloud with all ways in, and users who use all of them."""

    def __init__(self, home: Path) -> None:
        port = free_ports()
        self.rest = port + 9
        super().__init__(home, zones=1, nodes=1, settings=SETTINGS.format(rest=self.rest), port=port)
        made = self.euca("init", "--port", str(port), "--admin-email", "admin@example.org")["made"]
        self.start()
        self.boss = FormBrowser(self)
        self.boss.log_in("admin", made["administrator_password"])
        self.seconds = 0

    def invite(self, name: str) -> FormBrowser:
        """A new user, logged in with a password of their own: the mail waits, for want of a mail server."""
        told = {"user_name": name, "full_name": name, "email": f"{name}@example.org"}
        assert self.boss.send("/admin/users/add", told).status == 200
        shown = re.findall(r'action="(/admin/mails/[^"]+/show)"', self.boss.get("/admin/mails").text)
        mails = [self.boss.send("/admin/mails", {}, to=path).text for path in shown]
        (link,) = (
            re.search(r"https://[^/\s]+(/password\S+)", text)
            for text in mails
            if f"To</dt><dd>{name}@" in text
        )
        assert link
        browser = FormBrowser(self)
        chosen = browser.send(link[1], {"password": PASSWORD, "password_again": PASSWORD})
        assert chosen.path == "/login", chosen.text
        browser.log_in(name, PASSWORD)
        return browser

    def by_query(self, user: str) -> str:
        """The code of the refusal, empty if there was none."""
        try:
            self.client(user).describe_instances()
        except ClientError as refused:
            return str(refused.response["Error"]["Code"])
        return ""

    def by_soap(self, user: str) -> str:
        self.keys(user)
        directory = self.home / "credentials" / user
        files = ((directory / f"euca2-{part}.pem").read_bytes() for part in ("pk", "cert"))
        self.seconds += 1  # like messages of one second are one message sent twice
        message = letters.compose(
            letters.Identity(user, *files), NAMELESS, time.time() - self.seconds
        ).bytes()
        status, text = self.post(message, {"Content-Type": "text/xml"})
        code = re.search(r"<faultcode[^>]*>(?:\w+:)?(?:Client\.)?([^<]*)", text)
        assert (code is None) == (status == 200), text
        return code[1] if code else ""

    def by_rest(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=20)
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        try:
            connection.request(method, f"/v1/{path}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or "null")
        finally:
            connection.close()

    def token(self, user: str) -> tuple[int, str]:
        access, secret = self.keys(user)
        status, said = self.by_rest("POST", "tokens", {"access_key_id": access, "secret": secret})
        return status, said.get("token", "")


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path / "home")
    yield made
    made.stop()


def refusal(ask: Callable[..., Any], **more: Any) -> str:
    with pytest.raises(ClientError) as caught:
        ask(**more)
    return str(caught.value.response["Error"]["Code"])


def test_whose_machines_are_whose_and_a_deleted_user_is_nobody(town: Town) -> None:
    ann, bob = town.invite("ann"), town.invite("bob")
    town.add_image()
    first, second = town.launch(user="ann"), town.launch(user="ann")
    town.until("running", first + second)

    # bob's credentials see nothing of ann's machine and change nothing
    id, token = first[0], town.token("bob")[1]
    his = town.client("bob")
    assert his.describe_instances()["Reservations"] == []
    for ask in (his.describe_instances, his.terminate_instances, his.stop_instances, his.reboot_instances):
        assert refusal(ask, InstanceIds=[id]) == "InvalidInstanceID.NotFound"
    assert town.by_rest("GET", f"instances/{id}", token=token)[0] == 404
    assert town.by_rest("DELETE", f"instances/{id}", token=token)[0] == 404
    assert bob.get(f"/instances/{id}").status == 404
    assert bob.send("/profile", {}, to=f"/instances/{id}/terminate").status == 404
    assert town.states(id) == {id: "running"}

    # the administrator's list and end it
    listed = town.client().describe_instances()["Reservations"]
    assert {row["InstanceId"] for group in listed for row in group["Instances"]} == {*first, *second}
    (ended,) = town.client().terminate_instances(InstanceIds=[id])["TerminatingInstances"]
    assert ended["CurrentState"]["Name"] == "shutting-down"
    town.until("terminated", [id])

    # ann has every way in; then she is deleted, and has none from the next request on
    status, token = town.token("ann")
    assert status == 201
    assert (town.by_query("ann"), town.by_soap("ann")) == ("", "")
    assert town.by_rest("GET", "instances", token=token)[0] == 200
    assert second[0] in ann.get("/instances").text
    deleted = town.boss.send("/admin/users/ann/delete", {"instances": "keep"})
    assert "ann was deleted" in deleted.text

    def nobody() -> None:
        assert town.by_query("ann") == "AuthFailure"
        assert town.by_soap("ann") == "AuthFailure"
        assert town.by_rest("GET", "instances", token=token)[0] == 401
        assert town.token("ann") == (401, "")
        assert ann.get("/instances").path.startswith("/login")
        assert ann.send("/login", {"user_name": "ann", "password": PASSWORD}).status == 401

    nobody()
    assert town.states(*second) == {second[0]: "running"}, "what she kept runs on"
    town.restarted("cloud", town.kill("cloud"))
    eventually("bob's keys are good", lambda: town.by_query("bob") == "")
    nobody()
