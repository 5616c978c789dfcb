"""Which virtualisation a host really has.

/dev/kvm may exist, libvirt may advertise it, and guests still hang or crawl.  So KVM counts only when a guest really
computed under it: a boot sector that counts down from 200 million and then tells QEMU to exit with a number (0.5 s
emulated, less with a working KVM; a host with a useless one did not get there in 10 s).  What came out is kept in the
node's home until the kernel changes.
"""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from pathlib import Path

TRY = 4.0  # seconds
ANSWER = 0x31
COUNT = 200_000_000
BOOT_SECTOR = (
    b"".join(
        (
            b"\x66\xb9" + COUNT.to_bytes(4, "little"),  # mov ecx, COUNT
            b"\x66\x49\x75\xfc",  # again: dec ecx; jnz again
            bytes([0xB0, ANSWER, 0xE6, 0xF4, 0xF4]),  # mov al, ANSWER; out 0xf4, al; hlt
        )
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)


def choose_virtualisation(uri: str, home: Path | None = None) -> str:
    """ "kvm", "qemu", "xen" or "test", for the libvirt at ``uri`` on this host; at most TRY seconds."""
    for kind in ("test", "xen"):
        if uri.startswith(f"{kind}:"):
            return kind
    known, kernel = (home / "virtualisation") if home else None, platform.release()
    if known is not None and known.exists():
        kind, _, of = known.read_text().strip().partition(" ")
        if of == kernel and kind in ("kvm", "qemu"):
            return kind
    kind = "kvm" if guest_runs("kvm") else "qemu"
    if known is not None:
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(f"{kind} {kernel}\n")
    return kind


def guest_runs(accelerator: str, seconds: float = TRY) -> bool:
    if platform.machine() != "x86_64" or (
        accelerator == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK)
    ):
        return False  # other architectures: the setting has to say kvm
    with tempfile.NamedTemporaryFile() as sector:
        sector.write(BOOT_SECTOR)
        sector.flush()
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
        ]  # whoever kills us meanwhile leaves no hanging guest behind
        command += ["qemu-system-x86_64", "-accel", accelerator, "-machine", "pc", "-m", "32"]
        command += ["-nodefaults", "-display", "none", "-no-reboot"]
        command += ["-drive", f"file={sector.name},format=raw,if=floppy,readonly=on", "-boot", "a"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == ANSWER * 2 + 1
