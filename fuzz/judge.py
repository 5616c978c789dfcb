"""What must hold of every answer, and of everything that was executed.

An answer is documented: a status and a code of the table, well-formed, and nothing of the inside of the program.  The
log has no exception.  What was executed is what a signature of its owner says: for a message that was not signed anew,
exactly one of the genuine operations.  Version 1 signs names and values without borders, so there the text that was
signed is compared: moving a border makes another request with the same signature, and is why version 1 is off unless
the settings want it.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from http import HTTPStatus
from xml.parsers import expat

from euca_ec2.errors import CODES

from .corpus import Way
from .scene import Executed, Scene, query

INSIDE = (b"Traceback", b"Error(", b"Exception", b"object at 0x", b"NoneType", b"lxml", b".py")
SERVER = {"InsufficientInstanceCapacity": 500, "Unavailable": 503, "RequestLimitExceeded": 503}
KNOWN = {code for code, _ in CODES.values()} - {"InternalError"}
WIRE = {"DryRunOperation", "FilterLimitExceeded", "DependencyViolation"}  # written where they are used
# Refusals of HTTP itself have no EC2 code: of the gate, cheroot, the path and the method.
PLAIN = {400, 404, 405, 408, 411, 413, 414, 417, 431}
_CODE = re.compile(rb"<Code>([\w.]+)</Code>")
_FAULT = re.compile(
    rb"<faultcode>(Client|Server)\.([\w.]+)</faultcode><faultstring>[^<]*</faultstring><detail>"
)
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")


class Violation(Exception):
    """A property does not hold; the first line says which."""


class Listener(logging.Handler):
    """Everything logged with an exception, or as an error."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.heard.append(record)

    def check(self) -> None:
        if self.heard:
            record, count = self.heard[0], len(self.heard)
            self.heard.clear()
            text = logging.Formatter().format(record)
            last = text.rstrip().rpartition("\n")[2]
            raise Violation(f"{count} in the log of {record.name}: {last[:200]}\n{text}")


class Judge:
    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()  # answers by status and code
        self.genuine: set[tuple[str, str, str]] = set()  # user, action, message
        self.texts: set[str] = set()  # what the owner signed with version 1
        self.ambiguous = 0  # executed because version 1 has no borders

    def learn(self, executed: list[Executed], message: bytes) -> None:
        """This message is genuine and did that."""
        self.genuine |= {_key(it) for it in executed}
        given = _given(message)
        if given.get("SignatureVersion") == "1":
            self.texts.add(query.text_v1(given))

    def answer(self, status: int, kind: str, body: bytes, sent: bytes) -> None:
        for inside in INSIDE:
            if inside in body and inside not in sent:
                raise Violation(f"{inside.decode()!r} in an answer\n{body[:2000]!r}")
        if kind.startswith("text/plain"):
            self.codes[str(status)] += 1
            if status not in PLAIN:
                raise Violation(f"plain answer with status {status}\n{body[:500]!r}")
            return
        try:
            expat.ParserCreate().Parse(body, True)
        except expat.ExpatError as error:
            raise Violation(f"an answer that is no XML: {error}\n{body[:2000]!r}") from None
        if status == HTTPStatus.OK:
            self.codes["200"] += 1
            return
        fault = _FAULT.search(body)
        found = fault[2] if fault else next(iter(_CODE.findall(body)), b"")
        code = found.decode()
        self.codes[f"{status} {fault[1].decode() + '.' if fault else ''}{code}"] += 1
        if (
            code not in KNOWN
            and not code.endswith((".NotFound", ".Malformed", ".Duplicate"))
            and code not in WIRE
        ):
            raise Violation(f"code {code!r} with status {status}\n{body[:2000]!r}")
        if fault:
            if status != 500 or (fault[1] == b"Server") != (
                code in SERVER and code != "RequestLimitExceeded"
            ):
                raise Violation(f"fault {fault[1].decode()}.{code} with status {status}\n{body[:2000]!r}")
        elif status >= 500 and SERVER.get(code) != status:
            raise Violation(f"code {code!r} with status {status}\n{body[:2000]!r}")

    def answers(self, received: bytes, sent: bytes) -> None:
        """All that came back on a connection."""
        rest = received
        while rest:
            found = _HEAD.match(rest)
            head, end, rest = rest.partition(b"\r\n\r\n")
            if found is None or not end:
                raise Violation(f"an answer that is no HTTP\n{received[:500]!r}")
            status = int(found[1])
            if status == HTTPStatus.CONTINUE:
                continue
            length = re.search(rb"\r\nContent-Length: (\d+)", head)
            kind = re.search(rb"\r\nContent-Type: ([^\r]+)", head)
            if length is None or kind is None or len(rest) < int(length[1]):
                if sent.startswith(b"HEAD ") and length is not None:
                    rest = b""
                    continue
                raise Violation(f"an answer without or short of its length\n{received[:500]!r}")
            body, rest = rest[: int(length[1])], rest[int(length[1]) :]
            self.answer(status, kind[1].decode(), body, sent)

    def execution(self, executed: list[Executed], way: Way, message: bytes, scene: Scene) -> None:
        for it in executed:
            if it.user_id != scene.caller.user_id:
                raise Violation(f"executed for {it.user_id!r}\n{it}")
        for it in executed:
            if _key(it) in self.genuine:
                continue
            if way is Way.AS_IT_IS and not self._same_text(message):
                raise Violation(f"executed without its owner's signature: {it.action}\n{it}")
            if len(executed) > 1:
                raise Violation(f"{len(executed)} executed of one signed request\n{executed}")
            if way in (Way.V4, Way.PRESIGNED, Way.V2, Way.V1) and _given(message).get("Action") != it.action:
                raise Violation(f"executed {it.action}, which is not what was signed\n{it}")

    def _same_text(self, message: bytes) -> bool:
        """Signed with version 1, the borders moved."""
        given = _given(message)
        same = given.get("SignatureVersion") == "1" and query.text_v1(given) in self.texts
        self.ambiguous += same
        return same


def _key(it: Executed) -> tuple[str, str, str]:
    return it.user_id, it.action, repr((it.version, it.message))


def _given(message: bytes) -> dict[str, str]:
    letter = query.taken_apart(message)
    return dict(query.pairs(letter.query) + query.pairs(letter.body))
