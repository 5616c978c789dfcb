"""A public key into /root/.ssh/authorized_keys of an ext file system that nobody mounted.

debugfs answers 0 whatever happens, overwrites nothing and makes no parent folders: so each step is its own command,
what was there before is read and kept, and the result is read back and compared.
"""

from __future__ import annotations

import os

from euca_rpc.errors import EucaError
from euca_rpc.node import confined

KEYS = "/root/.ssh/authorized_keys"
MOST = 1 << 20  # bytes of an authorized_keys that is kept


def authorize(disk: int, offset: int, public_key: str) -> None:
    """Append the key, unless it is there.  The folder gets 0700, the file 0600, both root's."""
    line = public_key.strip().encode()
    if b"\n" in line or not line:
        raise EucaError("key_format", "The public key of a machine must be a single line in OpenSSH's form.")
    there = read(disk, offset, KEYS)[:MOST]
    lines = there.splitlines()
    if line not in lines:
        _write(disk, offset, b"\n".join([*lines, line]) + b"\n")
    if line not in read(disk, offset, KEYS).splitlines() or _mode(disk, offset, KEYS) != "0600":
        raise EucaError(
            "image_refused",
            "The key could not be put into the image: its file system has no room, or is damaged.",
        )


def read(disk: int, offset: int, path: str) -> bytes:
    """A file's content; empty when there is none."""
    return _debugfs(disk, offset, [f"cat {path}"])


def _write(disk: int, offset: int, content: bytes) -> None:
    source = os.memfd_create("authorized_keys")  # handed over open: the tool may open nothing of ours by name
    try:
        os.write(source, content)
        owner = ("uid 0", "gid 0")
        commands = ["mkdir /root", "mkdir /root/.ssh", f"rm {KEYS}", "cd /root/.ssh"]
        commands += [f"write /proc/self/fd/{source} authorized_keys"]
        commands += [f"sif {KEYS} {what}" for what in ("mode 0100600", *owner)]
        commands += [f"sif /root/.ssh {what}" for what in ("mode 040700", *owner)]
        _debugfs(disk, offset, commands, source)
    finally:
        os.close(source)


def _mode(disk: int, offset: int, path: str) -> str:
    words = _debugfs(disk, offset, [f"stat {path}"]).decode(errors="replace").split()
    return words[words.index("Mode:") + 1] if "Mode:" in words else ""


def _debugfs(disk: int, offset: int, commands: list[str], source: int | None = None) -> bytes:
    script = os.memfd_create("commands")
    try:
        os.write(script, ("\n".join(commands) + "\n").encode())
        image = f"/proc/self/fd/{disk}" + (f"?offset={offset}" if offset else "")
        fds = [disk, script] + ([] if source is None else [source])
        out = confined.run(["debugfs", "-w", "-f", f"/proc/self/fd/{script}", image], fds=fds)
    finally:
        os.close(script)
    # it echoes each command of a script before the command's own output
    echoes = {f"debugfs: {command}".encode() for command in commands}
    return b"\n".join(line for line in out.split(b"\n") if line not in echoes)
