"""``python -m euca_rpc.host DIRECTORY NAME [-- COMMAND ARGUMENT…] [-- COMMAND ARGUMENT…]``

Runs one host in the foreground.  Each ``--`` begins a command that is run inside and restarted when it ends.
SIGTERM or SIGINT end the host with all that runs on it.  SIGHUP ends this process alone: the host runs on, and the next
one that is started for the same directory holds it again.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import LibvirtHost


def main(arguments: list[str]) -> int:
    own, *commands = split(arguments)
    if len(own) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    host = LibvirtHost(Path(own[0]), own[1], commands)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda *_: os._exit(0))
    try:
        host.start()
        host.wait_ready()
        print(host.uri, flush=True)
        return host.wait()
    except AskedToEndError:
        return 0
    except EucaError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    finally:
        host.stop()


class AskedToEndError(Exception):
    pass


def end(number: int, frame: FrameType | None) -> None:
    """Raised, not done here: the main thread may be waiting for the very process that has to end."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise AskedToEndError


def split(arguments: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "--":
            parts.append([])
        else:
            parts[-1].append(argument)
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
