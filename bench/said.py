"""What the bench says while it runs: on standard error, so that the table alone is on standard output."""

from __future__ import annotations

import sys
import time


def say(what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)
