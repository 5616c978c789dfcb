"""Real disks: a machine's own root disk over a shared, read-only base, and its seed disk.

    base image (cache) ──hard link──► instance folder/base
                                          │ qemu-img create -b base -F declared format
                                      disk.unfinished ──► raw view ──► grow · put key in ──► disk.qcow2

The base is linked into the machine's folder: the cache may then forget it whenever it likes, and the overlay names it
relatively, so the folder can be set aside as a whole.  The format of an image is the declared one and never probed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node import root_disk, seed
from euca_rpc.node.hypervisor import Disk
from euca_rpc.node.machine import Crash, ImageSource, Made, Superseded, finish_disk

GIB = 1 << 30
ROOT, SEED = "disk.qcow2", "seed.iso"


class RealDisks:
    format = "qcow2"

    def __init__(self, images: ImageSource) -> None:
        self._images = images

    def root(self, folder: Path) -> Path | None:
        path = folder / ROOT
        return path if path.exists() else None

    def make(self, spec: MachineSpec, folder: Path, wanted: Callable[[], bool], crash: Crash) -> Made:
        try:
            return self._make(spec, folder, wanted, crash)
        except OSError as error:  # a full disk, above all: what is half made must not keep it full
            for left in (*folder.glob("*.new"), *folder.glob("*.unfinished")):
                left.unlink(missing_ok=True)
            raise EucaError(
                "unavailable",
                f"The disks of {spec.instance_id} cannot be made in {folder}: {error.strerror}. It is tried again.",
                private=str(error),
            ) from error

    def copy_root(
        self,
        spec: MachineSpec,
        folder: Path,
        to: Path,
        wanted: Callable[[], bool],
        by_hypervisor: Callable[[Path], None] | None,
    ) -> None:
        root = self.root(folder)
        if root is None:
            raise EucaError("state_conflict", f"{spec.instance_id} has no disk on this node to be copied.")
        root_disk.room_for_copy(root, to.parent)
        if by_hypervisor is not None:
            by_hypervisor(to)
        else:
            root_disk.flatten(root, to, wanted)
        if not wanted():
            raise Superseded

    def _make(self, spec: MachineSpec, folder: Path, wanted: Callable[[], bool], crash: Crash) -> Made:
        finished = folder / ROOT
        if not finished.exists():
            self._make_root(spec, folder, wanted, crash)
        kernel = self._linked(spec.kernel, folder / "kernel", wanted)
        ramdisk = self._linked(spec.ramdisk, folder / "ramdisk", wanted)
        crash("fetched")
        if not (folder / SEED).exists():
            unfinished = folder / f"{SEED}.unfinished"
            seed.make(spec, unfinished)
            finish_disk(unfinished, folder / SEED)
        crash("seeded")
        disks = (
            Disk(finished, "qcow2", serial="root"),
            Disk(folder / SEED, "raw", serial="cidata", read_only=True),
        )
        return Made(disks, kernel, ramdisk)

    def _make_root(self, spec: MachineSpec, folder: Path, wanted: Callable[[], bool], crash: Crash) -> None:
        if spec.image.virtual_bytes > spec.disk_gb * GIB:
            raise EucaError(
                "image_refused",
                f"Image {spec.image.image_id} holds a disk of {spec.image.virtual_bytes} bytes, but the root disk of "
                f"{spec.instance_id} has {spec.disk_gb} GiB. Launch a VM type with a larger disk.",
            )
        base = self._linked(spec.image, folder / "base", wanted)
        assert base is not None
        unfinished = folder / f"{ROOT}.unfinished"
        unfinished.unlink(missing_ok=True)  # cut off before it was complete; it never ran
        root_disk.overlay(base, spec.image.format, unfinished, spec.disk_gb * GIB)
        crash("overlaid")
        root_disk.grow_and_authorize(unfinished, spec.public_key)
        crash("keyed")
        finish_disk(unfinished, folder / ROOT)
        crash("disk-made")

    def _linked(self, ref: BlobRef | None, place: Path, wanted: Callable[[], bool]) -> Path | None:
        if ref is None:
            return None
        if not place.exists():
            if not wanted():
                raise Superseded
            source = self._images.fetch(ref)
            fresh = place.with_name(place.name + ".new")
            fresh.unlink(missing_ok=True)
            try:
                os.link(source, fresh)
            except OSError:  # another file system
                shutil.copyfile(source, fresh)
            os.replace(fresh, place)
        return place
