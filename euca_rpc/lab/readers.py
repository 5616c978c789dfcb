"""From a file to a `Workload`; the format is told by the file's name, then by its first words.

*.swf[.xz|.gz]      Standard Workload Format
*.csv[.xz|.gz]      this project's own (`read_csv`)
everything else     "START …" and "STOP …" lines of a Eucalyptus cluster controller (`read_starts`)
"""

from __future__ import annotations

import csv
import difflib
import gzip
import lzma
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size

NEEDED = ("at", "cores")
COLUMNS = (
    "at", "cores", "memory_mb", "disk_gb", "count", "user", "account", "duration", "asked", "hints", "key", "node",
    "class",
)  # fmt: skip
MOST = 2**53  # seconds or sizes beyond this are a mistake


def read(path: Path) -> Workload:
    """EucaError (parameter_invalid) names the line and what is wrong in it."""
    name = path.name.removesuffix(".xz").removesuffix(".gz")
    try:
        with _open(path) as lines:
            if name.endswith(".csv"):
                return read_csv(lines, name.removesuffix(".csv"))
            if name.endswith(".swf"):
                return read_swf(lines, name.removesuffix(".swf"))
            return read_starts(lines, name.removesuffix(".txt"))
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, csv.Error) as error:
        raise EucaError("parameter_invalid", f"the trace {path} cannot be read: {error}") from None


def _open(path: Path) -> IO[str]:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


# ------------------------------------------------------------------------------------------ START and STOP lines
def read_starts(lines: Iterable[str], name: str) -> Workload:
    """``START <s> <instance> <node> <cores>`` and ``STOP <s> <instance>``, by time: traces of Eucalyptus clusters as
    R. Wolski's group at UCSB published them.  No users, memory, disk or requested durations are in them, and a launch
    that was refused left no line."""
    started: dict[str, tuple[Micros, str, int]] = {}
    stopped: dict[str, Micros] = {}
    notes: list[str] = []
    strays = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        match words:
            case []:
                continue
            case ["START", at, id, node, cores]:
                if id in started:
                    raise _wrong(number, f"{id} is started a second time")
                started[id] = (_seconds(at, number), node, _whole(cores, number, 1))
            case ["STOP", at, id]:
                if id in started and id not in stopped:
                    stopped[id] = max(_seconds(at, number), started[id][0])
                else:
                    strays += 1
            case _:
                raise _wrong(number, f"{line.strip()[:60]!r} is neither START s id node cores nor STOP s id")
    if strays:
        notes.append(f"{strays} STOP lines of machines that do not run: ignored")
    requests = [
        Request(id, at, Size(cores, 0, 0), stopped[id] - at if id in stopped else None, recorded=node)
        for id, (at, node, cores) in started.items()
    ]
    return _workload(name, requests, {"users", "memory", "disk", "asked"}, notes)


# ------------------------------------------------------------------------------------------------------------ CSV
def read_csv(lines: Iterable[str], name: str) -> Workload:
    """A header, then a row a launch.  ``at`` (seconds since the beginning) and ``cores`` must be there; ``memory_mb``,
    ``disk_gb`` (of each machine), ``count``, ``user``, ``account``, ``duration`` and ``asked`` (seconds; empty: unknown; of
    several machines that ended apart each one's duration, by spaces, "-" for one that goes on),
    ``hints`` (``name=value;…``), ``key``, ``node`` (where it really went) and ``class`` (regular, or best_effort: the spot
    market's) may be."""
    rows = csv.DictReader(lines, strict=True)
    columns = rows.fieldnames or []
    for column in columns:
        if column not in COLUMNS:
            near = difflib.get_close_matches(column, COLUMNS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COLUMNS)}"
            raise _wrong(1, f"the column {column!r} is not known; {hint}")
    if missing := [column for column in NEEDED if column not in columns]:
        raise _wrong(1, f"the column {missing[0]} is missing")
    requests = []
    for row in rows:
        number = rows.line_num
        if None in row or None in row.values():
            raise _wrong(number, f"it does not have {len(columns)} columns")
        size = Size(
            _whole(row["cores"], number, 1),
            _whole(row.get("memory_mb") or "0", number),
            _whole(row.get("disk_gb") or "0", number),
        )
        count = _whole(row.get("count") or "1", number, 1)
        ran = _durations(row.get("duration") or "", count, number)
        requests.append(
            Request(
                row.get("key") or str(number - 1),
                _seconds(row["at"], number),
                size,
                None if None in ran else max(one for one in ran if one is not None),
                count,
                row.get("user") or "",
                row.get("account") or "",
                _seconds(row["asked"], number) if row.get("asked") else None,
                _hints(row.get("hints") or "", number),
                row.get("node") or "",
                ran if len(set(ran)) > 1 else (),
                _class(row.get("class") or "regular", number),
            )
        )
    asked = {"users": "user", "memory": "memory_mb", "disk": "disk_gb", "asked": "asked", "nodes": "node"}
    return _workload(name, requests, {what for what, column in asked.items() if column not in columns}, [])


def _class(text: str, number: int) -> str:
    if text not in ("regular", "best_effort"):
        raise _wrong(number, f"the class {text[:40]!r} is neither regular nor best_effort")
    return text


def _durations(text: str, count: int, number: int) -> tuple[Micros | None, ...]:
    words = text.split() or ["-"]
    if len(words) not in (1, count):
        raise _wrong(number, f"{len(words)} durations for {count} machines")
    found = [None if word == "-" else _seconds(word, number) for word in words]
    return tuple(found * count if len(found) == 1 else found)


def _hints(text: str, number: int) -> tuple[tuple[str, str], ...]:
    found = []
    for part in filter(None, text.split(";")):
        key, sign, value = part.partition("=")
        if not sign or not key:
            raise _wrong(number, f"the hint {part!r} is not name=value")
        found.append((key.strip(), value.strip()))
    return tuple(sorted(found))


# ------------------------------------------------------------------------------------------------------------ SWF
def read_swf(lines: Iterable[str], name: str) -> Workload:
    """The Standard Workload Format, version 2.2: 18 numbers a job, -1 for unknown.  Each job is one machine with as many
    cores as it was given processors, and with the memory of all of them.  Jobs that never ran are left out.

    Source: D. Feitelson, "The Standard Workload Format", Parallel Workloads Archive."""
    requests: list[Request] = []
    never, users, memory, asked = 0, False, False, False
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith(";"):
            continue
        if len(words) < 18:
            raise _wrong(number, f"a job has 18 fields, this one {len(words)}")
        try:
            fields = [float(word) for word in words[:18]]
        except ValueError:
            raise _wrong(number, "a field is not a number") from None
        if not all(map(math.isfinite, fields)) or any(abs(field) > MOST for field in fields):
            raise _wrong(number, "a field is not a number of a sensible size")
        job, submit, _, run, given, _, used_kb, wanted, want_s, want_kb, _, user, group = fields[:13]
        cores = int(given if given > 0 else wanted)
        if run < 0 or cores < 1 or submit < 0:
            never += 1
            continue
        kilobytes = want_kb if want_kb > 0 else used_kb
        users, memory, asked = users or user >= 0, memory or kilobytes > 0, asked or want_s > 0
        requests.append(
            Request(
                f"{job:.0f}",
                int(submit * SECOND),
                Size(cores, math.ceil(max(0.0, kilobytes) * cores / 1024), 0),
                int(run * SECOND),
                user=f"{user:.0f}" if user >= 0 else "",
                account=f"{group:.0f}" if group >= 0 else "",
                asked=int(want_s * SECOND) if want_s > 0 else None,
            )
        )
    undefined = {"disk", "nodes"}
    undefined |= {
        what for what, there in (("users", users), ("memory", memory), ("asked", asked)) if not there
    }
    return _workload(name, requests, undefined, [f"{never} jobs never ran: left out"] if never else [])


# --------------------------------------------------------------------------------------------------------- details
def _workload(name: str, requests: list[Request], undefined: set[str], notes: list[str]) -> Workload:
    if not requests:
        raise EucaError("parameter_invalid", f"the trace {name} has no launches in it")
    first = min(r.at for r in requests)
    if first < 0:
        raise EucaError("parameter_invalid", f"the trace {name} begins before 0")
    ordered = tuple(sorted(requests, key=lambda r: r.at))  # stable: of one moment as they were written
    return Workload(name, ordered, frozenset(undefined), tuple(notes))


def _seconds(text: str, number: int) -> Micros:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST / SECOND:
        raise _wrong(number, f"{text[:30]!r} is not a number of seconds")
    return round(value * SECOND)


def _whole(text: str, number: int, least: int = 0) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= 2**31:
        raise _wrong(number, f"{text[:30]!r} is not a whole number from {least}")
    return int(text)


def _wrong(number: int, what: str) -> EucaError:
    return EucaError("parameter_invalid", f"line {number}: {what}")


def rows(workload: Workload) -> Iterator[list[str]]:
    """The CSV of a workload, header first."""
    yield list(COLUMNS)
    for r in workload.requests:
        hints = ";".join(f"{key}={value}" for key, value in r.hints)
        ran = " ".join(_text(one) or "-" for one in r.apart) or _text(r.duration)
        times = [ran, _text(r.asked)]
        yield [
            _text(r.at), *map(str, (*r.size.parts(), r.count)), r.user, r.account, *times, hints, r.key, r.recorded, r.service_class,
        ]  # fmt: skip


def _text(at: Micros | None) -> str:
    return "" if at is None else f"{at / SECOND:.6f}".rstrip("0").rstrip(".")
