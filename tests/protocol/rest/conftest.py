"""A whole cloud in one process, on simulated time, and the live REST interface in front of its core."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from euca_rest import euca_interface
from euca_rpc.testing.network import Weather
from euca_rpc.testing.world import World


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def problem(self) -> str:
        """The symbol of a refusal."""
        assert self.headers["content-type"] == "application/problem+json", self.raw
        assert self.json["status"] == self.status
        return str(self.json["type"].removeprefix("urn:euca:problem:"))


class Scene:
    def __init__(self, root: Path, **settings: Any) -> None:
        self.world = World(root, "rest")
        # its judge knows what its own clients asked for, and takes ours for nobody's wish
        self.world.history.published = lambda view: None  # type: ignore[method-assign]
        self.world.network.weather = Weather.fair()  # nothing is lost: that is tested elsewhere
        self.rest = euca_interface(self.world.cloud.core, {"port": 0, **settings})
        self.rest.start()
        self.keys = {name: self.access_key(name) for name in ("admin", "ann", "bob")}
        self._tokens: dict[str, str] = {}
        self.image = "emi-00000001"

    def close(self) -> None:
        self.rest.stop()
        self.world.cloud.store.close()

    def access_key(self, name: str) -> tuple[str, str]:
        made, secret = self.world.cloud.core.credentials.create_key(self.world.admin, name)
        return made.id, secret

    def token(self, name: str) -> str:
        if name not in self._tokens:
            key, secret = self.keys[name]
            self._tokens[name] = self.ask(
                "POST", "/v1/tokens", {"access_key_id": key, "secret": secret}
            ).json["token"]
        return self._tokens[name]

    def ask(self, method: str, path: str, body: Any = None, by: str | None = None, **headers: str) -> Answer:
        """``body``: bytes as they are, anything else as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by is not None:
            sent["Authorization"] = f"Bearer {self.token(by)}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.rest.port, timeout=20)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def launch(self, by: str = "ann", **more: Any) -> list[str]:
        answer = self.ask("POST", "/v1/instances", {"image_id": self.image, **more}, by)
        assert answer.status == 201, answer.raw
        return [row["id"] for row in answer.json["items"]]

    def settle(self, seconds: float = 30) -> None:
        self.world.run(seconds)

    def meanwhile(self, job: Callable[[], Answer]) -> Answer:
        """A request that waits for a node, and the simulated time that it needs."""
        box: list[Answer] = []
        thread = threading.Thread(target=lambda: box.append(job()))
        thread.start()
        while thread.is_alive():
            thread.join(0.02)
            self.world.run(0.5)
        return box[0]


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(**settings: Any) -> Scene:
        made.append(Scene(tmp_path / f"scene{len(made)}", **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Shared by the tests of a module: they clear up what they launch, or do not mind what is there."""
    one = Scene(tmp_path_factory.mktemp("rest") / "scene")
    yield one
    one.close()
