"""Running a tool on something that a stranger made: without privilege, with little memory and little time.

As root the tool runs as nobody, without capabilities, and gets its files as open descriptors (`/proc/self/fd/N`), so
that it can reach nothing by name that the caller did not hand over.  Without root it runs as the daemon does, under the
same limits.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from euca_rpc.errors import EucaError

NOBODY = 65534
SECONDS = 60  # the longest growth of a file system seen took 2 s
LOOK = 0.5  # seconds between two looks at whether it is still wanted
MEMORY = 2 << 30


def limits(seconds: int) -> tuple[str, ...]:
    return ("prlimit", f"--as={MEMORY}", f"--cpu={seconds}", "--nofile=64", "--core=0", "--")


LIMITS = limits(SECONDS)
DROP = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--",
)
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def run(
    command: Sequence[str],
    *,
    fds: Sequence[int] = (),
    drop: bool = True,
    ok: Sequence[int] = (0,),
    cwd: Path | None = None,
    seconds: int = SECONDS,
    wanted: Callable[[], bool] = lambda: True,
) -> bytes:
    """Standard output.  ``drop=False`` keeps the daemon's identity, for tools that open files of its home by name.  When
    it is not ``wanted`` any more the tool is killed, which is an error like any other end of it."""
    prefix = (*DROP, *limits(seconds)) if drop and os.geteuid() == 0 else limits(seconds)
    tool = subprocess.Popen(
        [*prefix, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(fds),
        env=ENVIRONMENT,
        cwd=cwd or "/",
    )
    until = time.monotonic() + seconds
    with tool:
        while True:
            try:
                told, trouble = tool.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                if not wanted():
                    tool.kill()
                elif time.monotonic() > until:
                    tool.kill()
                    raise EucaError(
                        "image_refused", f"{command[0]} did not finish with this image in {seconds} s."
                    ) from None
            except BaseException:
                tool.kill()
                raise
    if tool.returncode not in ok:
        raise EucaError(
            "image_refused",
            f"{command[0]} could not work with this image (it ended with {tool.returncode}).",
            private=trouble.decode(errors="replace")[-2000:],
        )
    return told
