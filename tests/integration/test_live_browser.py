"""The live page in a real Chromium: readable by everybody, at every width, light and dark, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from browser import Browser, browser, missing
from live_world import Served, a_state, booked, served

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no {missing()} here: scripts/browser-setup")
WIDTHS_PX = (400, 1280, 2560)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("browsed"), a_state("hall"), a_state("other"), entries=booked()) as found:
        yield found


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as found:
        yield found


def headline(window: Browser) -> str:
    return str(window.run("return document.querySelector('h1').textContent"))


def hurry(window: Browser, page: Served) -> None:
    """Open the page, and let it ask more often than it does for people."""
    window.open(page.url)
    window.run("document.documentElement.dataset.every = 200")
    window.until(lambda: window.run("return document.getElementById('link').textContent") == "Live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_everybody_can_read_it(window: Browser, page: Served, width_px: int, scheme: str) -> None:
    window.see(width_px, 1000, scheme)
    window.open(page.url)
    window.until(lambda: window.run("return document.documentElement.dataset.live"))
    window.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert window.breaches() == []
    assert window.run("return document.documentElement.scrollWidth") <= width_px
    # Nothing was refused by the page's policy for content, and no script failed.
    assert window.complaints() == []
    dark = window.run("return getComputedStyle(document.body).backgroundColor") == "rgb(17, 22, 28)"
    assert dark is (scheme == "dark")


@pytest.mark.parametrize(("scheme", "status"), [("light", "letGo"), ("dark", "lastGood")])
def test_bad_news_can_be_read_as_well(window: Browser, page: Served, scheme: str, status: str) -> None:
    page.show(replace(a_state("hall"), status=status, degraded_reason="the solver fell over"))
    window.see(1280, 1000, scheme)
    window.open(page.url)
    try:
        assert ("Act now" if status == "letGo" else "Have a look") in headline(window)
        assert window.breaches() == []
    finally:
        page.show(a_state("hall"))


def test_the_first_screen_of_a_phone_says_whether_all_is_well(window: Browser, page: Served) -> None:
    window.see(400, 700)
    window.open(page.url)
    bottom = window.run("return document.querySelector('.verdict').getBoundingClientRect().bottom")
    assert bottom < 350
    assert "All is well" in headline(window)


def test_it_shows_what_is_new_without_being_asked_and_keeps_what_a_reader_has_opened(window: Browser, page: Served) -> None:
    window.see(1280, 1000)
    hurry(window, page)
    window.run("const it = document.querySelector('#numbers summary'); it.click(); it.focus()")
    try:
        page.show(replace(a_state("hall"), status="letGo", degraded_reason="the solver fell over"))
        window.until(lambda: "Act now" in headline(window))
        assert window.run("return document.getElementById('numbers').open")
        assert window.run("return document.activeElement === document.querySelector('#numbers summary')")
        assert window.run("return document.title").startswith("✕ Act now")
    finally:
        page.show(a_state("hall"))
    window.until(lambda: "All is well" in headline(window))


def test_green_does_not_outlive_the_connection(window: Browser, page: Served) -> None:
    window.see(1280, 1000)
    hurry(window, page)
    window.driver.execute_cdp_cmd("Network.enable", {})
    cut = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    window.driver.execute_cdp_cmd("Network.emulateNetworkConditions", cut)
    try:
        window.until(lambda: "No connection" in headline(window))
        assert "look" in window.run("return document.querySelector('.verdict').className")
    finally:
        whole = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        window.driver.execute_cdp_cmd("Network.emulateNetworkConditions", whole)
    window.until(lambda: "All is well" in headline(window))
    window.complaints()


def test_without_javascript_all_of_it_is_there_and_reloads_by_itself(window: Browser, page: Served) -> None:
    window.see(1280, 1000, script=False)
    try:
        window.open(page.url)
        source = window.driver.page_source
        assert "All is well" in headline(window)
        assert 'http-equiv="refresh"' in source
        assert source.count('class="plot"') == 4
    finally:
        window.see(1280, 1000)


def test_a_keyboard_reaches_every_link_and_sees_where_it_is(window: Browser, page: Served) -> None:
    window.see(1280, 1000)
    window.open(page.url)
    reached = []
    for _ in range(12):
        window.press_tab()
        reached.append(
            window.run("const it = document.activeElement; return it.id || it.getAttribute('href') || it.textContent")
        )
        assert window.run("return getComputedStyle(document.activeElement).outlineStyle") != "none"
        if window.run("return document.activeElement.closest('#contracts') !== null"):
            break
    assert reached[0] == "#main"
    assert any("ledger.csv" in one for one in reached)
