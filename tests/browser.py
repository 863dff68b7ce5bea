"""A real Chromium for tests of pages: Debian's, driven by selenium, with nothing of its own to ask the network for."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 60.0
AXE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heat-dispatch" / "axe-core" / "axe.min.js"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def missing() -> str:
    """What is not here that a browser test needs; empty when all is."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if not AXE.is_file():
        absent.append("axe-core")
    return ", ".join(absent)


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        """Drive it by `driver`."""
        self.driver = driver

    def see(self, width_px: int, height_px: int, scheme: str = "light", *, script: bool = True) -> None:
        """Be so wide and high, prefer light or dark, and run scripts of pages or not."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})

    def open(self, url: str) -> None:
        """Load a page, whole."""
        self.driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """The value that a script returns."""
        return self.driver.execute_script(script, *arguments)

    def press_tab(self) -> None:
        """Go on by keyboard."""
        ActionChains(self.driver).send_keys(Keys.TAB).perform()

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until something is so."""
        WebDriverWait(self.driver, PATIENCE_S).until(lambda _: holds())

    def picture(self) -> bytes:
        """A PNG of the window."""
        return base64.b64decode(self.driver.get_screenshot_as_base64())

    def complaints(self) -> list[str]:
        """What the browser said of the page since it was asked last: refused content, scripts that failed."""
        found: list[dict[str, object]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium states no types for it
        return [str(one["message"]) for one in found]

    def breaches(self) -> list[str]:
        """What axe-core finds wrong with the page, by every rule of WCAG 2.2 A and AA and of good practice."""
        # As a command of the driver, so that the page's policy for content stands.
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']})"
            ".then(found => done(found.violations), wrong => done([{id: String(wrong), nodes: []}]));"
        )
        return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found]


@contextmanager
def browser() -> Iterator[Browser]:
    """A window that closes at the end, and all that it wrote with it."""
    with tempfile.TemporaryDirectory(prefix="heat-dispatch-browser-") as folder:
        options = Options()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
        try:
            driver.set_page_load_timeout(PATIENCE_S)
            driver.set_script_timeout(PATIENCE_S)
            yield Browser(driver)
        finally:
            driver.quit()
