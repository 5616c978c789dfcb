"""What a daemon says: one line per record, with the time (wall, UTC), the daemon, the level and the
request id.

    2026-11-22T10:31:05.123Z cloud WARNING [-] zone-a has been silent since 2026-11-22 10:31:02Z

The request id is given as ``extra={"request_id": …}``. A private note of an error is logged here and
nowhere else.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

from euca_rpc.clock import iso
from euca_rpc.errors import EucaError


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


def begin(daemon: str, verbose: bool = False) -> None:
    """To standard error: whoever starts the daemon says where that goes."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(daemon))
    root = logging.getLogger()
    root.handlers[:] = [handler]
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
