"""The portal in a real browser: no barrier that axe finds on any page, in both themes and widths, and nothing that a
strict browser complains about; a story walked by mouse and keyboard.

With EUCA_SCREENSHOTS=DIRECTORY each page is photographed as well (`make screenshots`).
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from web_scene import PASSWORD, ImageStore, Scene

from euca_rpc.cloud.published import publish
from euca_web.routes import ANYONE, ROUTES

pytestmark = pytest.mark.timeout(300)  # dozens of pages, on a busy machine

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
RUN = "axe.run().then(found => JSON.stringify(found.violations))"
SHAPES = {"desktop": (1280, 800), "phone": (390, 844)}
PHOTOS = os.environ.get("EUCA_SCREENSHOTS", "")
# one is a file; the other two need a cloud that is new, and a node that answers
NO_PAGE = {"/admin/usage.csv", "/first-steps", "/instances/{id}/console"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as driver:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A cloud that is lived in: a bit of everything on every page."""
    scene = Scene(tmp_path_factory.mktemp("eyes"))
    admin, ann = scene.caller("admin"), scene.caller("ann")
    scene.core.keys.create(ann, "laptop", "ed25519")
    scene.core.keys.create(admin, "office", "ed25519")
    for name, who in (("web", "ann"), ("database", "ann"), ("mail", "admin")):
        scene.launch(who, key_name="laptop" if who == "ann" else "office", tags=(("Name", name),))
    scene.settle(400)
    stopped = scene.launch("admin")
    scene.settle()
    scene.lease(scene.launch("ann"))
    scene.core.instances.stop(admin, [stopped])
    scene.settle()
    for who in ("ann", "admin"):
        scene.core.credentials.create_key(scene.caller(who), who)
        scene.core.credentials.create_certificate(scene.caller(who), who)
    scene.apply("carol", affiliation="UCSB", project_description="Storage for sensor data")
    scene.core.people.add(admin, "dora", scene.profile("dora"))
    scene.core.people.disable(admin, "bob")
    scene.core.nodes.drain(admin, "z1/h1", True)
    scene.core.images.enable(admin, scene.private_image("ann", 77), False)
    scene.journal.do(publish("admin", "spot.price", {"eu": 0.25}))
    with pytest.raises(Exception, match=r"c1\.xlarge"):
        scene.launch("admin", vm_type="c1.xlarge", min_count=9, max_count=9)
    yield scene
    scene.close()


class Eyes:
    """One window of one shape, which fails on whatever the browser complains about."""

    def __init__(self, chromium: Any, scene: Scene, shape: str, theme: str = "light") -> None:
        width, height = SHAPES[shape]
        self.scene, self.shape = scene, shape
        self.window = chromium.new_context(
            ignore_https_errors=True,
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",  # a colour on its way to another one is no finding
            accept_downloads=True,
            device_scale_factor=0.6 if PHOTOS else 1,
        )
        self.page = self.window.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self._heard(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: self._asked(asked.url))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "the server responded with a status of" not in text:
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((f"https://localhost:{self.scene.port}/", "data:", "blob:")):
            self.complaints.append(f"asks {url}")

    def go(self, path: str) -> None:
        self.page.goto(f"https://localhost:{self.scene.port}{path}")

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        self.go("/login")
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_load_state()

    def barriers(self) -> list[str]:
        """What axe finds, no rule left out.  Asked by the debugger, because the page's own policy lets no script in."""
        debugger = self.window.new_cdp_session(self.page)
        there = debugger.send("Runtime.evaluate", {"expression": "typeof axe"})["result"]["value"]
        if there == "undefined":
            debugger.send("Runtime.evaluate", {"expression": AXE})
        told = debugger.send(
            "Runtime.evaluate", {"expression": RUN, "awaitPromise": True, "returnByValue": True}
        )
        debugger.detach()
        found = json.loads(told["result"]["value"])
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found] + (
            [f"{wide} pixels too wide"] if wide > 0 else []
        )

    def looks(self, name: str) -> dict[str, list[str]]:
        """The page that is open, in both themes: what axe finds in each."""
        found = {}
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)
            self.photograph(name, theme)
            if barriers := self.barriers():
                found[f"{name}, {theme}"] = barriers
        return found

    def photograph(self, name: str, theme: str) -> None:
        if PHOTOS:
            plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "overview"
            file = Path(PHOTOS) / f"{plain}-{self.shape}-{theme}.jpg"
            self.page.screenshot(path=str(file), type="jpeg", quality=40)

    def close(self) -> None:
        self.window.close()


def pages_of(scene: Scene, who: str) -> dict[str, str]:
    """Every page that there is, by the table, and where it is shown; so a new one is looked at from its first day."""
    admin = scene.caller("admin")
    people, mails, credentials = scene.core.people, scene.core.mails, scene.core.credentials
    stopped = scene.core.instances.page(admin, state="stopped").rows[0].instance
    things = {
        "/instances/{id}": f"/instances/{stopped.id}",
        "/instances/{id}/{change}": f"/instances/{stopped.id}/terminate",
        "/keys/delete": "/keys/delete?name=office",
        "/credentials/certificates/{id}/{change}": f"/credentials/certificates/{credentials.certificates(admin)[0].id}/revoke",
        "/credentials/keys/{id}/{change}": f"/credentials/keys/{credentials.keys(admin)[0].id}/delete",
        "/admin/requests/{id}": f"/admin/requests/{people.requests(admin).rows[0].id}",
        "/admin/users/{name}/{change}": "/admin/users/ann/delete",
        "/admin/accounts/{id}": f"/admin/accounts/{admin.account_id}",
        "/admin/nodes/{zone}/{host}/{change}": "/admin/nodes/z0/h0/fence",
        "/admin/mails/templates/{kind}": f"/admin/mails/templates/{mails.templates(admin)[0].kind}",
        "/admin/mails/{id}/drop": f"/admin/mails/{mails.waiting(admin).rows[0].id}/drop",
        "/images/{id}": "/images/emi-00000001",
        "/images/{id}/{change}": "/images/emi-00000001/remove",
        "/admin/users/{name}": "/admin/users/ann",
        "/admin/types/{name}/remove": "/admin/types/m1.small/remove",
    }
    wanted = [
        r.path
        for r in ROUTES
        if r.method == "GET" and (r.who == ANYONE) == (who == "") and r.path not in NO_PAGE
    ]
    return {path: things[path] if "{" in path else things.get(path, path) for path in wanted}


def pages_of_users(scene: Scene) -> dict[str, str]:
    """As administrators do not see them: another menu, a lease, a refusal."""
    newest = scene.core.instances.page(scene.caller("ann")).rows[0].instance.id
    found = {f"user {path}": path for path in ("/", "/instances", "/launch", "/credentials", "/admin/users")}
    return {**found, "user instance": f"/instances/{newest}"}


EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES)


@EACH_SHAPE
@pytest.mark.parametrize("who", ["", "admin", "ann"])
def test_no_page_has_a_barrier(chromium: Any, town: Scene, who: str, shape: str) -> None:
    eyes = Eyes(chromium, town, shape)
    found: dict[str, list[str]] = {}
    try:
        if who:
            eyes.log_in(who)
        pages = pages_of(town, who) if who != "ann" else pages_of_users(town)
        for name, path in pages.items():
            eyes.go(path)
            found |= eyes.looks(name)
    finally:
        eyes.close()
    assert not found, found
    assert not eyes.complaints


@contextmanager
def time_passes(scene: Scene) -> Iterator[None]:
    """For pages that wait for a node."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.02):
            scene.world.run(0.5)

    clock = threading.Thread(target=run)
    clock.start()
    try:
        yield
    finally:
        over.set()
        clock.join()


@EACH_SHAPE
def test_no_page_behind_a_form_has_a_barrier(chromium: Any, town: Scene, shape: str, tmp_path: Path) -> None:
    """Those that no address alone leads to, and those that `NO_PAGE` left out."""
    eyes, new = Eyes(chromium, town, shape), Scene(tmp_path / "new", opened=False)
    owed = Eyes(chromium, new, shape)
    found: dict[str, list[str]] = {}

    def look(name: str, by: Eyes = eyes) -> None:
        found.update(by.looks(name))

    try:
        owed.log_in("admin", "admin")
        owed.page.get_by_role("heading", name="First steps").wait_for()
        look("first-steps", owed)
        eyes.log_in("admin")
        eyes.go("/credentials")
        eyes.page.get_by_role("button", name="Create access key").click()
        eyes.page.get_by_text("shown now and never again").wait_for()
        look("access-key")
        eyes.go("/admin/mails")
        eyes.page.get_by_role("button", name="Open the mail").first.click()
        eyes.page.get_by_text("in the audit log").wait_for()
        look("mail")
        running = town.core.instances.page(town.caller("admin"), state="running").rows[0].instance
        with time_passes(town):
            eyes.go(f"/instances/{running.id}/console")
        look("instances-id-console")
    finally:
        eyes.close()
        owed.close()
        new.close()
    assert not found, found
    assert not eyes.complaints + owed.complaints


def test_an_upload_shows_how_far_it_is_and_a_refusal_and_needs_no_script(
    chromium: Any, tmp_path: Path
) -> None:
    scene = Scene(tmp_path / "upload")
    store = ImageStore(tmp_path / "images", scene)
    disk, other = tmp_path / "disk.img", tmp_path / "disk.qcow2"
    disk.write_bytes(random.Random(3).randbytes(6 << 20))
    other.write_bytes(b"QFI\xfb".ljust(1 << 20, b"\0"))
    eyes = Eyes(chromium, scene, "phone", "dark")
    plain = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    try:
        page = eyes.page
        eyes.log_in("admin")
        eyes.go("/admin/images")
        page.get_by_role("button", name="Upload an image").first.click()
        page.get_by_label("Name").fill("debian")
        page.get_by_label("File").set_input_files(other)
        page.get_by_role("button", name="Upload").click()
        page.get_by_text("declared raw but begins like qcow2").wait_for()
        assert page.get_by_label("Name").input_value() == "debian", "nothing that was typed is lost"
        page.get_by_label("File").set_input_files(disk)
        slow = {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": 3 << 20}
        eyes.window.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
        page.get_by_role("button", name="Upload").click()
        page.get_by_text("% of the file is sent").wait_for()
        assert not eyes.looks("admin-images-add-sending"), "no barrier while it is under way"
        page.get_by_text("debian is there as emi-").wait_for()
        assert not eyes.complaints

        unscripted = plain.new_page()
        unscripted.goto(f"https://localhost:{scene.port}/login")
        unscripted.get_by_label("User name").fill("admin")
        unscripted.get_by_label("Password").fill(PASSWORD)
        unscripted.get_by_role("button", name="Log in").click()
        unscripted.goto(f"https://localhost:{scene.port}/admin/images/add")
        unscripted.get_by_label("Name").fill("plain")
        unscripted.get_by_label("File").set_input_files(disk)
        unscripted.get_by_role("button", name="Upload").click()
        unscripted.get_by_text("plain is there as emi-").wait_for()
        names = {image.name for image in scene.core.images.describe(scene.caller("admin"))}
        assert {"debian", "plain"} <= names
    finally:
        eyes.close()
        plain.close()
        scene.close()
        store.close()


def test_a_newcomer_gets_to_a_running_machine(chromium: Any, tmp_path: Path) -> None:
    """From the application to ssh's address, by what the pages say; every mail is read as it would arrive."""
    scene = Scene(tmp_path / "story", refresh_seconds=1)
    carol, admin = Eyes(chromium, scene, "phone", "dark"), Eyes(chromium, scene, "desktop")
    try:
        page = carol.page
        carol.go("/")
        page.get_by_role("link", name="Apply for an account").click()
        page.get_by_label("User name").fill("carol")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("The same again").fill(PASSWORD)
        page.get_by_label("E-mail address").fill("carol@example.org")
        page.get_by_label("Full name").fill("Carol")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Your application was sent").wait_for()

        admin.go(_link(scene, "admin@example.org", "approve"))
        admin.page.get_by_label("User name").fill("admin")
        admin.page.get_by_label("Password").fill(PASSWORD)
        admin.page.get_by_role("button", name="Log in").click()
        admin.page.get_by_role("heading", name="carol asks for an account").wait_for()
        admin.page.get_by_role("button", name="Approve").click()
        admin.page.get_by_text("carol was approved").wait_for()

        carol.go(_link(scene, "carol@example.org", "activate"))
        page.get_by_label("User name").fill("carol")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Activate and log in").click()
        page.get_by_text("Your account is active now").wait_for()

        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Credentials").click()
        with page.expect_download() as coming:
            page.get_by_role("button", name="Generate certificate").click()
        assert coming.value.suggested_filename == "euca2-carol-x509.zip"
        names = zipfile.ZipFile(coming.value.path()).namelist()
        assert [name.rpartition("-")[2] for name in names] == ["pk.pem", "cert.pem", "cert.pem", "eucarc"]
        page.get_by_text("enabled").first.wait_for()  # the list looked again by itself

        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Key pairs").click()
        page.get_by_label("Name").first.fill("phone")
        with page.expect_download() as coming:
            page.get_by_role("button", name="Make it and download").click()
        assert coming.value.suggested_filename == "phone.pem"

        carol.go("/launch")
        page.get_by_label("Name").fill("first")
        page.get_by_role("button", name="Launch").click()
        page.get_by_text("is on its way").wait_for()
        assert page.get_by_text("pending", exact=True).is_visible()
        scene.settle()
        page.get_by_text("running", exact=True).wait_for()  # nobody touched the page
        assert page.get_by_text("ssh -i KEY.pem root@127.31.").is_visible()
        page.get_by_role("button", name="Terminate").click()
        page.get_by_role("button", name="Terminate it").click()
        page.get_by_text("shutting-down", exact=True).wait_for()
        scene.settle()
        page.get_by_text("terminated", exact=True).wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_text("You are logged out").wait_for()
        assert not carol.complaints
        assert not admin.complaints
    finally:
        carol.close()
        admin.close()
        scene.close()


def test_the_keyboard_reaches_everything_and_a_live_page_keeps_ones_place(
    chromium: Any, tmp_path: Path
) -> None:
    scene = Scene(tmp_path / "keys", refresh_seconds=1)
    scene.launch("ann")
    eyes = Eyes(chromium, scene, "desktop")
    try:
        eyes.log_in("ann")
        eyes.go("/instances")
        eyes.page.keyboard.press("Tab")
        assert eyes.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        eyes.page.keyboard.press("Enter")
        assert eyes.page.evaluate("document.activeElement.id") == "main"
        link = eyes.page.locator("td a").first
        link.focus()
        with eyes.page.expect_response(lambda answer: answer.url.endswith("/instances")):
            pass
        scene.settle()
        eyes.page.locator(".badge", has_text="running").wait_for()
        assert eyes.page.evaluate("document.activeElement.getAttribute('href')") == link.get_attribute("href")
        assert not eyes.complaints
    finally:
        eyes.close()
        scene.close()


def _link(scene: Scene, to: str, word: str) -> str:
    """The path of the link in the newest mail to that address."""
    letter = [letter for letter in scene.letters() if letter.line.to == to][-1]
    found = next(link for link in re.findall(r"https://[^/\s]+(/\S+)", letter.text) if word in link)
    return str(found)
