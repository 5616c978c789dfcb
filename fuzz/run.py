"""The long run: libFuzzer chooses and changes inputs by the coverage they reach, until the time or the number is over.

A violation is kept with its input and the run goes on, so that one run shows all there is to mend.  Memory is
compared from the end of the warm-up to the end of the run.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import atheris

# Each module would be named on stderr.
with (
    contextlib.redirect_stderr(io.StringIO()),
    atheris.instrument_imports(include=["euca_ec2", "euca_rpc", "cheroot"]),
):
    import euca_ec2.server  # noqa: F401
    import euca_rpc.cloud.controller  # noqa: F401

from . import corpus
from .mutation import MOST_BYTES, torn
from .turn import Fuzzer, Violation

HERE = Path(__file__).resolve().parent
MOST_GROWTH = 32.0  # MiB, of which libFuzzer's corpus is a part
WARM_UP = 0.2  # of the run
MOST_KEPT = 100  # kinds of violations
_PULSE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)")


class Run:
    def __init__(self, fuzzer: Fuzzer, options: argparse.Namespace, home: Path) -> None:
        self._fuzzer, self._options, self._home = fuzzer, options, home
        self._began = time.monotonic()
        self._at = now()
        self._told = 0.0
        self._warm: tuple[int, float] = (0, 0.0)  # turns and MiB at the end of the warm-up
        self._stopping = False
        self.violations: dict[str, int] = {}
        self._screen = os.fdopen(os.dup(2), "w", buffering=1)
        self._log = home / "libfuzzer.log"

    # ------------------------------------------------------------------------------------------------- libFuzzer's
    def one(self, data: bytes) -> int:
        try:
            sent = self._fuzzer.turn(data)
        except Violation as error:
            self._keep(data, str(error))
            sent = True
        except Exception as error:  # of the fuzzer itself
            self._keep(data, f"{type(error).__name__} in the fuzzer: {error}")
            sent = True
        seconds = time.monotonic() - self._began
        if seconds - self._told >= 1:
            self._told = seconds
            self._tell(seconds)
            if not self._warm[0] and self._part(seconds) >= WARM_UP:
                self._warm = self._fuzzer.done, resident()
            if self._part(seconds) >= 1 or self._stopping:
                self._end(seconds)
        return 0 if sent else -1

    def stop(self, *_: object) -> None:
        """Asked to by a signal: what was found so far is told."""
        self._stopping = True

    def changed(self, data: bytes, most: int, seed: int) -> bytes:
        dice = random.Random(seed)
        change = torn(dice) if dice.random() < 0.3 else lambda piece, most: atheris.Mutate(piece, most)
        return self._fuzzer.mutation.changed(data, dice, change, most)

    def _part(self, seconds: float) -> float:
        """How much of what was asked for is done: both the time and the number."""
        parts = []
        if self._options.seconds:
            parts.append(seconds / self._options.seconds)
        if self._options.requests:
            parts.append(self._fuzzer.done / self._options.requests)
        return min(parts)

    def _keep(self, data: bytes, text: str) -> None:
        kind = re.sub(r"[0-9a-f]{6,}|\d+", "#", text.partition("\n")[0])
        self.violations[kind] = self.violations.get(kind, 0) + 1
        if self.violations[kind] > 1 or len(self.violations) > MOST_KEPT:
            return
        self._options.found.mkdir(parents=True, exist_ok=True)
        path = self._options.found / hashlib.sha256(data).hexdigest()[:16]
        path.write_bytes(data)
        print(f"\n{text}\ninput: {path}; again: python -m fuzz --replay {path}", file=self._screen)

    # ------------------------------------------------------------------------------------------------ what is told
    def _coverage(self) -> dict[str, Any]:
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 65536))
            pulses = _PULSE.findall(log.read().decode("utf-8", "replace"))
        if not pulses:
            return {"edges": 0, "features": 0, "corpus": 0, "corpus_bytes": "0b"}
        edges, features, inputs, size = pulses[-1]
        return {"edges": int(edges), "features": int(features), "corpus": int(inputs), "corpus_bytes": size}

    def _tell(self, seconds: float) -> None:
        every = 1 if self._screen.isatty() else 60
        if int(seconds) % every:
            return
        it, found = self._coverage(), self._fuzzer
        line = (
            f"{seconds:6.0f} s  {found.done:>9,} requests  {found.done / seconds:5.0f}/s  {found.executed:>8,} executed"
            f"  {it['edges']:,} edges  {it['corpus']:,} inputs  {resident():.0f} MiB  {sum(self.violations.values())} violations"
        )
        print(
            f"\r{line}" if self._screen.isatty() else line,
            end="" if self._screen.isatty() else "\n",
            file=self._screen,
        )

    def figures(self, seconds: float) -> dict[str, Any]:
        found, end = self._fuzzer, resident()
        return {
            "commit": commit(), "at": self._at, "seed": self._options.seed, "seconds": round(seconds, 1),
            "requests": found.done, "per_second": round(found.done / seconds, 1), "executed": found.executed,
            "through_a_socket": sum(count for name, count in found.targets.items() if "socket" in name),
            "version_1_without_borders": found.judge.ambiguous, "fresh_clouds": found.renewals,
            "targets": dict(found.targets.most_common()), "answers": dict(found.judge.codes.most_common()),
            "coverage": self._coverage(),
            "memory_mib": {"after_requests": self._warm[0], "then": round(self._warm[1], 1), "at_the_end": round(end, 1)},
            "violations": self.violations,
        }  # fmt: skip

    def _end(self, seconds: float) -> NoReturn:
        """libFuzzer's loop does not come back."""
        code = 1
        try:
            self._fuzzer.alive()
            growth = resident() - self._warm[1]
            if self._warm[0] and growth > MOST_GROWTH:
                self.violations[f"grew by {growth:.0f} MiB after the warm-up"] = 1
            told = self.figures(seconds)
            if self._options.results:
                self._options.results.write_text(json.dumps(told, indent=1) + "\n")
            print("\n" + json.dumps(told, indent=1), flush=True)
            code = 1 if self.violations else 0
            self._fuzzer.close()
        finally:
            self._screen.flush()
            shutil.rmtree(self._home, ignore_errors=True)
            os._exit(code)

    def start(self) -> None:
        inputs = self._home / "corpus"
        inputs.mkdir()
        for number, seed in enumerate(self._fuzzer.seeds):
            (inputs / f"{number:04d}").write_bytes(seed)
        (self._home / "words").write_text(corpus.dictionary(self._fuzzer.scene))
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 2)  # libFuzzer's own reports
        arguments = [
            "fuzz", str(inputs), f"-seed={self._options.seed}", f"-dict={self._home / 'words'}", f"-max_len={MOST_BYTES}",
            "-timeout=60", "-rss_limit_mb=2048", "-handle_int=0", "-handle_term=0", f"-artifact_prefix={self._home}/", "-reload=0",
        ]  # fmt: skip
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        atheris.Setup(arguments, self.one, custom_mutator=self.changed)
        atheris.Fuzz()


def resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")


def commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def replay(fuzzer: Fuzzer, path: Path) -> int:
    try:
        fuzzer.turn(path.read_bytes())
    except Violation as error:
        print(error)
        return 1
    print("nothing is wrong with it:", dict(fuzzer.judge.codes), fuzzer.scene.executed)
    return 0


def main() -> int:
    told = argparse.ArgumentParser(prog="python -m fuzz", description=sys.modules["fuzz"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    told.add_argument("--seconds", type=float, default=0, help="at least so long")
    told.add_argument("--requests", type=int, default=0, help="at least so many; 20,000 if neither is given")
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--results", type=Path, help="where the figures go, as JSON")
    told.add_argument("--found", type=Path, default=HERE / "found", help="where inputs go that break a rule")
    told.add_argument("--replay", type=Path, help="one such input again")
    options = told.parse_args()
    if not options.seconds and not options.requests:
        options.requests = 20_000
    scratch = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the database is synced at every change
    with tempfile.TemporaryDirectory(prefix="euca-fuzz-", dir=scratch) as directory:
        home = Path(directory)
        (home / "cloud").mkdir()
        fuzzer = Fuzzer(home / "cloud")
        if options.replay:
            try:
                return replay(fuzzer, options.replay)
            finally:
                fuzzer.close()
        Run(fuzzer, options, home).start()
    return 0
