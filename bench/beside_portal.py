"""EC2's figures while people use the portal, and while nobody does: one cloud, the two in turn.

The portal runs in the cloud controller's process, with threads of its own; what it takes from the interpreter is taken
from EC2.  Its use is that of `browsers.OPEN` people (`bench/browsers.py`).
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from euca_rpc import config

from .figures import slower
from .rounds import Generator, Half, duel, settle
from .said import say
from .servers import ROOMY, ROOT, Euca
from .signed import Signer

MINE = 10
PERSON = "bench"


class Browsers:
    """The process of `browsers.py`; it rests until it is told to go."""

    def __init__(self, euca: Euca) -> None:
        said = config.load(str(euca.home), {})
        certificate = said.portal_home / "cert.pem"
        self._command = [sys.executable, "-m", "bench.browsers", said.portal_url, str(certificate)]
        self.figures: dict[str, Any] = {}

    def __enter__(self) -> Browsers:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        self._process: subprocess.Popen[str] = subprocess.Popen(self._command, **pipes)  # type: ignore[call-overload]
        if self._line() != "ready":
            raise RuntimeError("the browsers could not log in")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        self.tell("end")
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def beside_portal(home: Path, rounds: int) -> dict[str, Any]:
    say("a cloud starts, for EC2 beside the portal")
    with (
        Euca(home / "portal", hypervisor="simulated", zones=1, nodes=6, settings=ROOMY) as euca,
        Generator() as generator,
        Browsers(euca) as browsers,
    ):
        image = euca.test_image()
        euca.euca("user", "add", PERSON)
        signer = Signer(*euca.credentials(PERSON))

        def launches(count: int) -> list[bytes]:
            return [signer.launch(image, secrets.token_hex(8)) for _ in range(count)]

        def all_run() -> None:
            settle(generator, euca.port, signer)

        generator.run(euca.port, [signer.launch(image, secrets.token_hex(8), MINE)])
        all_run()
        rows = []
        for name, count, make, after in (
            (f"DescribeInstances, {MINE}", 8000, lambda count: [signer.describe()] * count, lambda: None),
            ("RunInstances", 300, launches, all_run),
        ):
            say(f"{name}, beside the portal and alone")

            def beside(count: int, make: Any = make) -> list[bytes]:
                requests: list[bytes] = make(count)
                browsers.tell("go")
                return requests

            def rest(after: Any = after) -> None:
                browsers.tell("rest")
                after()

            busy, quiet = Half(euca.port, beside, rest), Half(euca.port, make, after)
            duel(generator, busy, quiet, count, rounds)
            rows.append(
                {
                    "name": name,
                    "alone": quiet.side.facts(),
                    "beside": busy.side.facts(),
                    "ratio": slower(busy.side, quiet.side).facts(),
                }
            )
        return {"rows": rows, "browsers": browsers.end()}
