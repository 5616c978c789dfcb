"""The power switch of a simulated host, as a command: what `sleep_command` and `wake_command` are for a real one.

    python -m euca_rpc.node.simulated_power sleep DIRECTORY
    python -m euca_rpc.node.simulated_power wake DIRECTORY [SECONDS]      the time that it takes to wake

DIRECTORY is that of the simulated hypervisor: HOME/nodes/ZONE-HOST/simulated.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from euca_rpc.clock import SECOND
from euca_rpc.node.simulated import SimulatedHypervisor


def main(words: Sequence[str]) -> None:
    what, directory = words[0], Path(words[1])
    if what not in ("sleep", "wake") or not (directory / "history.log").exists():
        raise SystemExit(f"{what}: sleep or wake, of a simulated hypervisor's directory, not {directory}")
    host = SimulatedHypervisor(directory)
    if what == "sleep":
        host.sleep()
    else:
        host.wake(int(float(words[2]) * SECOND) if len(words) > 2 else 0)
    host.close()


if __name__ == "__main__":
    main(sys.argv[1:])
