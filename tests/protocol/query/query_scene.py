"""One endpoint, genuine requests, and an attacker who has seen them and has a key of his own."""

from __future__ import annotations

import sys

from query_letters import Key, Letter, presigned, v1, v2, v4

from euca_ec2.endpoint import Endpoint
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings
from euca_rpc.clock import SECOND, ManualClock

fake = sys.modules["ec2_fake_cloud"]
NOW = 1_795_000_000.0
OWNER = Key("AKANN000000000000001", "ann-secret-0123456789")
ATTACKER = Key("AKBOB000000000000001", "bob-secret-0123456789")
CREATE = {"Action": "CreateKeyPair", "KeyName": "mine", "Version": "2016-11-15"}
EVIL = {**CREATE, "KeyName": "evil"}


class Scene:
    def __init__(self, **settings) -> None:
        self.clock = ManualClock(int((NOW + 1) * SECOND))
        self.cloud = fake.FakeCloud(self.clock)
        self.endpoint = Endpoint(self.cloud.core(), Ec2Settings(rate=0.0, **settings))

    # ---------------------------------------------------------------------------------- what the attacker has seen
    def v4(self, given=CREATE, method="POST", **how) -> Letter:
        return v4(OWNER, given, NOW, Letter(method), **how)

    def presigned(self, given=CREATE, **how) -> Letter:
        return presigned(OWNER, given, NOW, **how)

    def v2(self, given=CREATE, method="POST", **how) -> Letter:
        return v2(OWNER, given, NOW, Letter(method), **how)

    def v1(self, given=CREATE, method="POST") -> Letter:
        return v1(OWNER, given, NOW, Letter(method))

    # ------------------------------------------------------------------------------------------------------ sending
    def send(self, letter: Letter):
        headers = tuple((name.lower(), value) for name, value in letter.headers)
        return self.endpoint.respond(Request(letter.method, letter.path, letter.query, headers, letter.body))

    def later(self, seconds: float) -> None:
        self.clock.advance(int(seconds * SECOND))

    @property
    def executed(self) -> list[str]:
        """What was made, and for whom: key pairs by name, machines by their number, terminations."""
        keys = [f"{account[:1]}:{name}" for account, name in self.cloud.key_rows]
        launched = [f"launched {it.max_count}" for it in self.cloud.requests]
        ended = [f"ended {id}" for id, it in self.cloud.rows.items() if it.state == "shutting-down"]
        return keys + launched + ended
