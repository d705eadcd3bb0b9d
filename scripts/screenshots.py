"""Takes the screenshots for README and docs, of the demo in a new database: `make screenshots`. Needs Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "screenshots"
DESKTOP, PHONE = ViewportSize(width=1280, height=720), ViewportSize(width=390, height=780)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url)  # noqa: S310  our own server
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"{url} does not answer.")


def sign_in(page: Page, base: str, email: str, password: str) -> None:
    page.goto(f"{base}/sign-in/")
    page.fill("[name=login]", email)
    page.fill("[name=password]", password)
    page.click("main button.primary")
    page.wait_for_load_state()


def take(base: str, password: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium on the PATH.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport=DESKTOP)
        sign_in(page, base, "ada@kvasir.example", password)
        home = page.url
        for name in ("le-chat", "privacy", "history"):
            page.goto(f"{home}{name}/")
            page.screenshot(path=FOLDER / f"{name}.png")
        page = browser.new_page(viewport=PHONE)
        sign_in(page, base, "cleo@kvasir.example", password)
        page.goto(f"{base}/settings/data-controls/")
        page.screenshot(path=FOLDER / "data-controls.png")
        page = browser.new_page(viewport=DESKTOP)
        sign_in(page, base, "operator@demo.example", password)
        page.goto(f"{base}/admin/")
        page.screenshot(path=FOLDER / "dashboard.png", full_page=True)
        page.goto(f"{base}/admin/accounts/organization/?q=kvasir")
        page.get_by_role("link", name="Kvasir Labs").click()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / "organization.png")
        browser.close()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "DATABASE_URL": f"sqlite:///{directory}/demo.sqlite3", "DEBUG": "true"}
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "migrate", "--verbosity=0"], check=True, env=environment)
        told = subprocess.run(
            [*manage, "demo", "--format=json"], check=True, env=environment, capture_output=True, text=True
        )
        # No picture of a demo whose ledger does not verify.
        subprocess.run([*manage, "verify_ledger"], check=True, env=environment, stdout=subprocess.DEVNULL)
        port = free_port()
        server = subprocess.Popen([*manage, "runserver", "--noreload", f"127.0.0.1:{port}"], env=environment)
        try:
            base = f"http://localhost:{port}"
            wait_for(f"{base}/healthz")
            take(base, json.loads(told.stdout)["password"])
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
