"""The whole story in a real browser, with a real mail server and a real machine: from the administrator's first log-in to a
newcomer's ssh into an image that came through the page, by nothing but what pages and mails say."""

from __future__ import annotations

import email
import email.policy
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from playwright.sync_api import sync_playwright

from euca_rpc.images.test_image import build

real_cloud: Any = sys.modules["real_cloud"]  # put there by the conftest above
adapters: Any = sys.modules["real_clients"]
zeep = importlib.import_module("real_clients.zeep")
eventually = real_cloud.eventually
PASSWORD = "correct horse battery"


class Postbox:
    """A mail server that keeps what it takes."""

    def __init__(self, port: int) -> None:
        self.taken: list[tuple[str, str]] = []  # to, text
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body()
        assert body is not None
        self.taken.append((envelope.rcpt_tos[0], body.get_content()))
        return "250 OK"

    def link(self, to: str, word: str) -> str:
        """The whole link in the newest mail to that address."""

        def found() -> str | None:
            for address, text in reversed(self.taken):
                links = [link for link in re.findall(r"https://\S+", text) if word in link]
                if address == to and links:
                    return str(links[0])
            return None

        return str(eventually(f"a mail to {to} with a link to {word}", found, 30.0))

    def __enter__(self) -> Postbox:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


@pytest.fixture
def browsers(real: Any) -> Iterator[tuple[Any, Any]]:
    """The newcomer's on a phone, the administrator's on a desktop."""
    with sync_playwright() as driver:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        shapes = ({"width": 390, "height": 844}, {"width": 1280, "height": 800})
        windows = [chromium.new_context(ignore_https_errors=True, viewport=shape) for shape in shapes]
        pages = [window.new_page() for window in windows]
        for page in pages:
            page.set_default_timeout(60_000)
        yield pages[0], pages[1]
        chromium.close()


def test_from_the_first_log_in_to_ssh(real: Any, browsers: tuple[Any, Any], tmp_path: Path) -> None:
    page, admin = browsers
    url = real.config.portal_url
    with Postbox(real.mail_port) as post:
        # the administrator's first steps
        admin.goto(f"{url}/")
        log_in(admin, "admin", "admin")
        admin.get_by_role("heading", name="First steps").wait_for()
        admin.get_by_label("New password").fill(PASSWORD)
        admin.get_by_label("The same again").fill(PASSWORD)
        admin.get_by_label("E-mail address").fill("boss@example.org")
        admin.get_by_role("button", name="Open the cloud").click()
        admin.get_by_text("The cloud is ready").wait_for()

        # an application, a decision, an activation
        page.goto(f"{url}/")
        page.get_by_role("link", name="Apply for an account").click()
        page.get_by_label("User name").fill("carol")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("The same again").fill(PASSWORD)
        page.get_by_label("E-mail address").fill("carol@example.org")
        page.get_by_label("Full name").fill("Carol")
        page.get_by_role("button", name="Send the application").click()
        page.get_by_role("heading", name="Your application was sent").wait_for()
        admin.goto(post.link("boss@example.org", "decide=approve"))
        admin.get_by_role("button", name="Approve").click()
        admin.get_by_text("carol was approved").wait_for()
        page.goto(post.link("carol@example.org", "/activate"))
        log_in(page, "carol", PASSWORD)
        page.get_by_text("Your account is active now").wait_for()

    # credentials in hand: those very files drive Query and SOAP
    page.goto(f"{url}/credentials")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Generate certificate").click()
    shutil.copy(coming.value.path(), tmp_path / "euca2-carol-x509.zip")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    told = subprocess.run(
        ["sh", "-c", as_the_guide_says()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert re.findall(r'"ZoneName": "(.*)"', told.stdout) == list(real.zones), told.stderr
    (private,), (certificate,) = (
        tmp_path.glob("euca2-carol-*-pk.pem"),
        tmp_path.glob("euca2-carol-*-cert.pem"),
    )
    proof = adapters.Proof("", "", certificate.read_text(), private.read_text())
    if zeep.WSDLS.is_dir():  # Amazon's descriptions are not part of a checkout
        assert zeep.Zeep(real, proof).zones() == list(real.zones)

    # an image: kernel, ramdisk and disk, through the administrator's page
    made = build(tmp_path / "image")

    def upload(name: str, kind: str, file: Path, **parts: str) -> str:
        admin.goto(f"{url}/admin/images/add")
        admin.get_by_label("Name").fill(name)
        for label, choice in {"Kind": kind, "Architecture": made.architecture, **parts}.items():
            admin.get_by_label(label).select_option(choice)
        admin.get_by_label("File").set_input_files(file)
        admin.get_by_role("button", name="Upload").click()
        admin.get_by_text(f"{name} is there as").wait_for()
        return str(admin.url.rpartition("/")[2])

    parts = {"Kernel": upload("vmlinuz", "kernel", made.kernel)}
    parts["Ramdisk"] = upload("initrd", "ramdisk", made.ramdisk)
    image = upload("through the page", "machine", made.disk, Format="raw", **parts)

    # a key, a machine of that image, ssh, the end
    page.goto(f"{url}/keys")
    page.get_by_label("Name").first.fill("phone")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Make it and download").click()
    key = tmp_path / "phone.pem"
    key.touch(0o600)
    key.write_bytes(Path(coming.value.path()).read_bytes())
    page.goto(f"{url}/launch")
    page.get_by_label("Image").select_option(image)
    page.get_by_label("Name").fill("first")
    page.get_by_role("button", name="Launch").click()
    page.locator(".badge", has_text="running").wait_for()
    line = page.locator("#ssh-line").inner_text()
    address = line.rpartition("@")[2].strip()
    id = page.get_by_role("heading", level=1).inner_text()
    guest = real_cloud.Guest(id, address, "", key)
    assert guest.up().uptime > 0
    page.get_by_role("button", name="Console").click()
    page.get_by_text("euca test image ready").wait_for()
    page.get_by_role("link", name=f"Back to {id}").click()
    admin.goto(f"{url}/instances/{id}")  # the administrator may end anybody's
    admin.get_by_role("button", name="Terminate").click()
    admin.get_by_role("button", name="Terminate it").click()
    page.locator(".badge", has_text="terminated").wait_for()
    assert guest.life() is None


def as_the_guide_says() -> str:
    """What the user's guide has people type with the zip, word by word; `unzip` need not be installed."""
    guide = (Path(__file__).parents[3] / "docs" / "users-guide.md").read_text()
    block = re.search(r"```sh\n(unzip euca2-USER-x509\.zip\n.*?)```", guide, re.DOTALL)
    assert block
    unzip = f'unzip() {{ {sys.executable} -m zipfile -e "$1" .; }}\n'
    return unzip + block[1].replace("USER", "carol")


def log_in(page: Any, name: str, password: str) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name=re.compile("log in", re.IGNORECASE)).click()
