"""Ten machines of mine among a hundred thousand of other people, beside ten in a cloud of their own.

Two clouds at once, asked in turn, so that the machine's drift hits both.  What must not grow with the crowd is what one
person's requests cost.  What does grow is told too: how long the cloud controller takes from its start to its first
answer, its memory, and a page of an administrator's list, who sees everybody's machines.
"""

from __future__ import annotations

import os
import re
import secrets
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .crowd import settle_crowd
from .figures import slower
from .rounds import Generator, Half, duel, settle
from .said import say
from .servers import ROOMY, Euca
from .signed import Signer

MINE = 10
PERSON = "bench"
PAGE = 1000  # the most that one page may have
STARTS = 3
LONGEST_START = 120.0  # seconds
TOKEN = re.compile(rb"<nextToken>([^<]+)</nextToken>")


@dataclass
class Place:
    """One of the two clouds, and a person with ten machines there."""

    euca: Euca
    image: str
    signer: Signer
    generator: Generator

    @classmethod
    def prepared(cls, euca: Euca, generator: Generator) -> Place:
        image = euca.test_image()
        euca.euca("user", "add", PERSON)
        made = cls(euca, image, Signer(*euca.credentials(PERSON)), generator)
        generator.run(euca.port, made.launches(1, MINE))
        made.settle()
        return made

    def launches(self, count: int, machines: int = 1) -> list[bytes]:
        return [self.signer.launch(self.image, secrets.token_hex(8), machines) for _ in range(count)]

    def describes(self, count: int) -> list[bytes]:
        return [self.signer.describe()] * count

    def settle(self) -> None:
        settle(self.generator, self.euca.port, self.signer)

    def half(self, what: str) -> Half:
        if what == "RunInstances":
            return Half(self.euca.port, self.launches, self.settle)
        return Half(self.euca.port, self.describes)

    def start_seconds(self) -> float:
        """From the start of the cloud controller's process to its first answer."""
        pid = self.euca.kill("cloud")
        request = self.signer.zones()
        until = time.monotonic() + LONGEST_START
        while True:
            try:
                self.generator.run(self.euca.port, [request])
            except (ConnectionError, RuntimeError):  # not there yet, or not ready
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return time.clock_gettime(time.CLOCK_BOOTTIME) - began(pid)


def crowded(home: Path, machines: int, rounds: int) -> dict[str, Any]:
    say("two clouds start")
    with (
        Euca(home / "alone", hypervisor="simulated", zones=1, nodes=1, settings=ROOMY) as one,
        Euca(home / "crowd", hypervisor="simulated", zones=1, nodes=1, settings=ROOMY) as other,
        Generator() as generator,
    ):
        alone, crowd = Place.prepared(one, generator), Place.prepared(other, generator)
        say(f"{machines:,} machines of other people are put into one of them")
        other.stop()
        settle_crowd(other.database, machines)
        other.start()
        crowd.settle()
        figures: dict[str, Any] = {"machines": machines, "rows": []}
        for name, count in ((f"DescribeInstances, {MINE}", 300), ("RunInstances", 30)):
            say(f"{name}, among {machines:,} and alone")
            halves = crowd.half(name), alone.half(name)
            duel(generator, *halves, count, rounds)
            figures["rows"].append(row(name, *halves))
        figures["memory_mb"] = {"alone": one.rss_mb, "crowd": other.rss_mb}
        figures["database_mb"] = round(other.database.stat().st_size / (1 << 20), 1)
        say("an administrator turns the pages")
        figures["page_ms"] = pages(generator, other)
        say("both cloud controllers are killed and come back")
        found: dict[str, list[float]] = {"alone": [], "crowd": []}
        for _ in range(STARTS):
            found["alone"].append(alone.start_seconds())
            found["crowd"].append(crowd.start_seconds())
        figures["start_seconds"] = {name: round(statistics.median(all), 2) for name, all in found.items()}
        figures["started_mb"] = {"alone": one.rss_mb, "crowd": other.rss_mb}
    return figures


def row(name: str, crowd: Half, alone: Half) -> dict[str, Any]:
    return {
        "name": name,
        "alone": alone.side.facts(),
        "crowd": crowd.side.facts(),
        "ratio": slower(crowd.side, alone.side).facts(),
    }


def pages(generator: Generator, euca: Euca) -> float:
    """Milliseconds for a page: the median of the first eight."""
    signer = Signer(*euca.credentials())
    took, token = [], ""
    for _ in range(8):
        result = generator.run(euca.port, [signer.page(PAGE, token)])
        took.append(result.seconds)
        found = TOKEN.search(result.bodies[0])
        if found is None:
            break
        token = found[1].decode()
    return round(statistics.median(took) * 1e3, 1)


def began(pid: int) -> float:
    """When a process was started, in seconds since the boot."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
