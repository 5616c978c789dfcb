"""What is told to a node about a machine: complete, so that the node asks nobody back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from euca_rpc.clock import HOUR, MINUTE, Micros
from euca_rpc.cloud.view import View
from euca_rpc.images import tickets
from euca_rpc.machines import BlobRef, CaptureOrder, MachineSpec
from euca_rpc.types import Capture, Instance, NewImage

TICKET_LIFE: Micros = HOUR  # at least; those for one image and node are the same one for SAME_TICKET
SAME_TICKET: Micros = 10 * MINUTE
STORE_LIFE: Micros = 2 * HOUR  # longer than a capture may take
PASS_LIFE: Micros = 10 * MINUTE  # until the bytes begin to come, or a blob is forgotten


@dataclass(frozen=True, slots=True)
class Blobs:
    """Where images are, and the key under which this cloud signs who may fetch, or store, which."""

    base_url: str  # https://host:port
    ticket_key: bytes

    def ref(self, view: View, image_id: str, node: str, now: Micros) -> BlobRef:
        image = view.images[image_id]
        until = now - now % SAME_TICKET + SAME_TICKET + TICKET_LIFE
        ticket = _fetch(self.ticket_key, image.sha256, "node/" + node, until)
        return BlobRef(
            image.id,
            image.sha256,
            image.bytes,
            image.virtual_bytes,
            image.format,
            f"{self.base_url}/blobs/{image.sha256}",
            ticket,
        )

    def capture_order(self, row: Capture, architecture: str, wall: Micros) -> CaptureOrder:
        facts: dict[str, str | int] = {
            "image_id": row.id,
            "node": "node/" + row.node,
            "architecture": architecture,
            "most_bytes": row.most_bytes,
        }
        ticket = tickets.issue(self.ticket_key, tickets.STORE, facts, wall + STORE_LIFE)
        return CaptureOrder(
            row.id, row.instance_id, row.generation, architecture, row.most_bytes, self.base_url, ticket
        )

    def upload_ticket(self, user_name: str, declared: NewImage, size: int, wall: Micros) -> str:
        facts: dict[str, str | int] = {
            "user": user_name,
            "bytes": size,
            "format": declared.format,
            "kind": declared.kind,
            "architecture": declared.architecture,
        }
        return tickets.issue(self.ticket_key, tickets.UPLOAD, facts, wall + PASS_LIFE)

    def forget_ticket(self, sha256: str, wall: Micros) -> str:
        return tickets.issue(self.ticket_key, tickets.FORGET, {"sha256": sha256}, wall + PASS_LIFE)


@lru_cache(4096)
def _fetch(key: bytes, sha256: str, node: str, until: Micros) -> str:
    return tickets.issue(key, tickets.FETCH, {"sha256": sha256, "node": node}, until)


def machine_spec(view: View, blobs: Blobs, i: Instance, now: Micros, wall: Micros) -> MachineSpec:
    """``fresh`` says whether the disk may be made: only for a first generation that no node has ever mentioned."""

    def ref(image_id: str) -> BlobRef:
        return blobs.ref(view, image_id, i.node, wall)

    return MachineSpec(
        instance_id=i.id,
        generation=i.generation,
        reboots=i.reboots,
        fresh=i.generation == 1 and i.seen_generation == 0,
        account_id=i.account_id,
        cores=i.cores,
        memory_mb=i.memory_mb,
        disk_gb=i.disk_gb,
        architecture=i.architecture,
        image=ref(i.image_id),
        kernel=ref(i.kernel_id) if i.kernel_id else None,
        ramdisk=ref(i.ramdisk_id) if i.ramdisk_id else None,
        mac=i.mac,
        private_address=i.private_address,
        public_address=i.public_address,
        hostname="ip-" + i.private_address.replace(".", "-"),
        public_key=i.public_key,
        user_data=i.user_data,
    )
