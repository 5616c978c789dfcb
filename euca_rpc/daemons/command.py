"""Commands that a site configures, run without a shell: `[node] sleep_command`, `[cluster] wake_command`.

Each is a list of words; ``{node}``, ``{mac}`` and the like in a word stand for what the command is about.  What they stand
for stays one word, whatever is in it.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping, Sequence

from euca_rpc.errors import EucaError

log = logging.getLogger(__name__)

PATIENCE = 25.0  # seconds: less than the call that waits for it


def run(words: Sequence[str], values: Mapping[str, str]) -> None:
    """unavailable: it cannot be started, fails, or takes too long."""
    command = [filled(word, values) for word in words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise EucaError("unavailable", f"{command[0]} did not end within {PATIENCE:g} s.") from None
    except OSError as error:
        raise EucaError("unavailable", f"{command[0]} cannot be started: {error.strerror}.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise EucaError(
            "unavailable", f"{command[0]} ended with {done.returncode}: {said or 'it said nothing'}"
        )
    log.info("%s was run", " ".join(command))


def filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace("{" + name + "}", value)
    return word
