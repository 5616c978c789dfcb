"""Running a tool on something that a stranger made: without privilege, with little memory and little time.

As root the tool runs as nobody, without capabilities, and gets its files as open descriptors (`/proc/self/fd/N`), so
that it can reach nothing by name that the caller did not hand over.  Without root it runs as the daemon does, under the
same limits.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from euca_rpc.errors import EucaError

NOBODY = 65534
SECONDS = 60  # the longest growth of a file system seen took 2 s
MEMORY = 2 << 30
LIMITS = ("prlimit", f"--as={MEMORY}", f"--cpu={SECONDS}", "--nofile=64", "--core=0", "--")
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
) -> bytes:
    """Standard output.  ``drop=False`` keeps the daemon's identity, for tools that open files of its home by name."""
    prefix = (*DROP, *LIMITS) if drop and os.geteuid() == 0 else LIMITS
    try:
        done = subprocess.run(
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            pass_fds=tuple(fds),
            env=ENVIRONMENT,
            cwd=cwd or "/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EucaError(
            "image_refused", f"{command[0]} did not finish with this image in {SECONDS} s."
        ) from None
    if done.returncode not in ok:
        raise EucaError(
            "image_refused",
            f"{command[0]} could not work with this image (it ended with {done.returncode}).",
            private=done.stderr.decode(errors="replace")[-2000:],
        )
    return done.stdout
