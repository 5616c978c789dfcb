"""What a daemon says: one line per record, with the time (wall, UTC), the daemon, the level and the
request id.

    2026-11-22T10:31:05.123Z cloud WARNING [-] zone-a has been silent since 2026-11-22 10:31:02Z

The request id is given as ``extra={"request_id": …}``. A private note of an error is logged here and
nowhere else.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from types import TracebackType
from typing import Final, TextIO

from euca_rpc.clock import iso
from euca_rpc.daemons.rotation import Rotation
from euca_rpc.errors import EucaError

ACCESS_S: Final = 0.1  # what a line of an access log may wait for company
STRAY_S: Final = 5.0  # what others write to standard error is looked at so often


class Lines(logging.Formatter):
    def __init__(self, daemon: str) -> None:
        super().__init__()
        self._daemon = daemon

    def format(self, record: logging.LogRecord) -> str:
        request = getattr(record, "request_id", None) or "-"
        head = f"{iso(int(record.created * 1_000_000))} {self._daemon} {record.levelname} [{request}]"
        text = record.getMessage()
        if record.exc_info:
            error = record.exc_info[1]
            if isinstance(error, EucaError) and error.private:
                text += f" (private: {error.private})"
            text += "\n" + self.formatException(record.exc_info)
        return f"{head} {text}"


class Handler(logging.StreamHandler[TextIO]):
    """Writes each record at once, but for the lines of access logs: those go out together, a moment later or with the
    next other record, so that no request waits for another's line to be written."""

    def __init__(self, stream: TextIO, rotation: Rotation | None = None) -> None:
        super().__init__(stream)
        self._rotation = rotation
        self._lines: list[str] = []
        self._some = threading.Event()
        threading.Thread(target=self._collect, name="access-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and record.name.endswith(".access"):
            self._lines.append(self.format(record))
            if len(self._lines) == 1:
                self._some.set()
        else:
            self.flush()
            super().emit(record)

    def flush(self) -> None:
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()
            if self._rotation is not None:
                self._rotation.look()

    def _collect(self) -> None:
        while True:
            if self._some.wait(STRAY_S):
                self._some.clear()
                time.sleep(ACCESS_S)
            self.flush()


def begin(daemon: str, verbose: bool = False, rotation: Rotation | None = None) -> None:
    """To standard error: whoever starts the daemon says where that goes."""
    handler = Handler(sys.stderr, rotation)
    handler.setFormatter(Lines(daemon))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line shows them
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for chatty in ("Pyro5", "peewee", "cherrypy", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    def unhandled(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            root.critical("the daemon ends: %s", error, exc_info=(kind, error, trace))

    sys.excepthook = unhandled
    threading.excepthook = lambda args: (
        root.error("thread %s ended: %s", args.thread and args.thread.name, args.exc_value)
        if args.exc_value is None
        else root.error(
            "thread %s ended: %s",
            args.thread and args.thread.name,
            args.exc_value,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )
    )
