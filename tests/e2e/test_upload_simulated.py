"""An image on its way through the page to machines, and out again, with real daemons: the cloud controller passes on what a
browser sends, the image server inspects it, each way in shows it and its state, and its bytes go when nothing needs them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from cloud_process import CloudProcess, eventually, free_ports
from form_browser import FormBrowser

from euca_rpc.images.blobs import Blobs

PAGE = "/admin/images/add"
DISK = random.Random(21).randbytes(8 << 20)


@pytest.mark.timeout(180)
def test_an_image_comes_through_the_page_and_goes_again(tmp_path: Path) -> None:
    port = free_ports()
    cloud = CloudProcess(tmp_path / "home", zones=1, nodes=1, port=port)
    try:
        made = cloud.euca("init", "--port", str(port), "--admin-email", "admin@example.org")["made"]
        cloud.start()
        boss = FormBrowser(cloud)
        boss.log_in("admin", made["administrator_password"])
        blobs = Blobs(cloud.config.blobs)
        form = {"name": "debian", "kind": "machine", "format": "raw", "architecture": "x86_64"}

        hostile = boss.upload(PAGE, form, b"QFI\xfb".ljust(4096, b"\0"))
        assert hostile.status == 400
        assert "declared raw but begins like qcow2" in hostile.text
        seen = boss.upload(PAGE, form, DISK)
        assert seen.status == 200, seen.text
        id = seen.path.rpartition("/")[2]
        sha256 = hashlib.sha256(DISK).hexdigest()
        assert blobs.path(sha256).read_bytes() == DISK

        client = cloud.client("admin")
        launch = lambda: client.run_instances(ImageId=id, MinCount=1, MaxCount=1)["Instances"][0][
            "InstanceId"
        ]
        machine = launch()
        cloud.until("running", [machine])

        assert cloud.euca("image", "disable", id)["state"] == "disabled"
        (shown,) = client.describe_images(ImageIds=[id])["Images"]
        assert shown["State"] == "disabled"
        with pytest.raises(ClientError, match="enables it again"):
            launch()
        assert "disabled by admin" in boss.get("/admin/images").text
        client.enable_image(ImageId=id)

        client.terminate_instances(InstanceIds=[machine])
        cloud.until("terminated", [machine])
        removed = boss.send(f"/images/{id}/remove", {})
        assert removed.path == "/admin/images", removed.text
        eventually("its bytes are gone", lambda: sha256 not in dict(blobs.list()), 20)

        with cloud.stopped("images"):  # it is there and does not answer
            cloud.euca("user", "add", "dora")
            told = cloud.euca("user", "delete", "dora", "--instances", "terminate")
            assert told["status"] == "deleted"
            assert boss.get("/admin/images").status == 200, "pages do not wait for the image server"
    finally:
        cloud.stop()
