"""The Dagster UI as people use it: a real webserver and daemon, driven by a real headless browser.

Pictures of every page are left in build/screenshots, for whoever wants to see what the tests saw.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.checks import CheckOutcome, CheckState
from flagrelease_assets.reporting import report_html
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.sensors import ALL_SENSORS
from tests.integration.rig import STEPS, Rig
from tests.requirements import cannot_test
from tests.unit.reporting import factories

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WAIT_MS = 90_000
RUN_DEADLINE_S = 150
ROW_HEIGHT = 29
"""Pixels from one line of a partition list in the launch dialog to the next."""

LINES_OF_TEXT = """element => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return new Set([...range.getClientRects()].map(box => box.top)).size;
}"""

QUIET_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a fresh browser; its picture is kept when the test ends, however it does."""
    chromium = shutil.which("chromium")
    if chromium is None:
        cannot_test("there is no chromium: run scripts/install-system-packages as root")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET_ARGUMENTS))
        opened = browser.new_page(viewport={"width": 1500, "height": 950})
        opened.set_default_timeout(WAIT_MS)
        yield opened
        picture(opened, request.node.name)
        browser.close()


def picture(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}.png"))


@pytest.fixture
def ui(webserver: int, daemon: Path) -> str:
    """The address of the UI, with one model as a partition and a daemon behind it."""
    assert daemon.exists()
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("model", ["org--a"])
    return f"http://127.0.0.1:{webserver}"


def choose(page: Page, *partitions: str) -> None:
    """Choose partitions of the first dimension of the launch dialog that has none yet."""
    page.get_by_text("Select a partition or create one").first.click()
    for partition in partitions:
        page.get_by_placeholder("Filter partitions").fill(partition)
        everything = page.get_by_text("Select all (1)").bounding_box()
        assert everything is not None
        below = everything["y"] + everything["height"] / 2 + ROW_HEIGHT  # its text is no element of its own
        page.mouse.click(everything["x"] + 10, below)
    page.get_by_text(re.compile("^Launch runs to materialize")).first.click()


def report_of(folder: Path, vendor: str) -> ReleaseReport:
    store = ResultStore(str(folder / "results"))
    end = time.monotonic() + RUN_DEADLINE_S
    while time.monotonic() < end:
        report = store.latest("release_report", vendor, "org--a")
        if isinstance(report, ReleaseReport):
            return report
        time.sleep(1)
    raise AssertionError(f"no report of {vendor}\n{(folder / 'daemon.log').read_text()[-3000:]}")


def test_the_graph_shows_every_asset_of_the_group(ui: str, page: Page) -> None:
    page.goto(f"{ui}/locations/__repository__@flagrelease/asset-groups/release/lineage")
    for asset in ("model_version", "stack_release", *STEPS, "release_board"):
        page.get_by_text(asset, exact=True).first.wait_for()


def test_the_automation_page_shows_every_sensor_switched_on(ui: str, page: Page) -> None:
    page.goto(f"{ui}/automation")
    for sensor in ALL_SENSORS:
        page.get_by_text(sensor.name, exact=True).first.wait_for()
    switches = page.locator("input[type=checkbox]:checked")
    switches.nth(len(ALL_SENSORS) - 1).wait_for(state="attached")


def test_a_partition_is_materialized_from_the_ui_and_its_metadata_appears(
    ui: str, daemon: Path, page: Page
) -> None:
    page.goto(f"{ui}/assets/install_status")
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    choose(page, "org--a")
    choose(page, "nvidia")
    picture(page, "launch-dialog")
    page.get_by_role("button", name=re.compile("^Launch")).last.click()
    store = ResultStore(str(daemon / "results"))
    end = time.monotonic() + RUN_DEADLINE_S
    while time.monotonic() < end and store.latest("install_status", "nvidia", "org--a") is None:
        time.sleep(1)
    page.goto(f"{ui}/assets/install_status?view=partitions&partition=org--a%7Cnvidia")
    for name in ("stack_release", "install_seconds", "packages", "result_file"):
        page.get_by_text(name, exact=True).first.wait_for()


def test_a_backfill_over_two_vendors_is_launched_from_the_ui_and_finishes(
    ui: str, daemon: Path, page: Page
) -> None:
    page.goto(f"{ui}/locations/__repository__@flagrelease/jobs/release/partitions")
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    choose(page, "org--a")
    choose(page, "cpu", "nvidia")
    page.get_by_role("button", name=re.compile("^Launch")).last.click()
    assert report_of(daemon, "cpu").status == "PARTIAL"
    assert report_of(daemon, "nvidia").status == "PASS"
    page.goto(f"{ui}/assets/release_report?view=partitions&partition=org--a%7Cnvidia")
    page.get_by_text("Releasable: every step passed").first.wait_for()
    page.get_by_text("report_link", exact=True).first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_report_and_board_render_without_errors_and_fit_the_screen(
    rig: Rig, page: Page, scheme: str, width: int
) -> None:
    from flagrelease_assets.assets.release.board import write_board

    result = rig.run()
    assert result.report is not None
    rig.run(vendor="nvidia")
    board, _ = write_board(DeploymentResource(path=str(rig.deployment_file)))
    report = rig.folder / "results" / "reports" / "cpu" / "org--toy" / f"{result.run_id}.html"
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    for name, file in (("report", str(report)), ("board", board)):
        page.goto(f"file://{file}")
        page.get_by_text("PARTIAL").first.wait_for()
        picture(page, f"{name}-{scheme}-{width}")
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"{name} is {overflow} pixels too wide at {width}"
    page.get_by_label("Filter the board").fill("is:skipped")
    page.get_by_text("matching: 1").wait_for()
    assert complaints == []


@pytest.mark.parametrize("width", [1400, 600])
def test_a_report_breaks_no_step_name_however_much_its_checks_have_to_say(page: Page, width: int) -> None:
    said = "short_prefill_short_decode throughput_tok_s -9.5 % against the last good result; " * 5
    checks = [
        CheckOutcome(check="regression", step=step, state=CheckState.ALERT, text=said) for step in STEPS
    ]
    page.set_viewport_size({"width": width, "height": 950})
    page.set_content(report_html(factories.report(checks=checks), factories.documents()))
    for step in STEPS:
        shown = page.locator("#history").get_by_text(step, exact=True)
        assert shown.evaluate(LINES_OF_TEXT) == 1, step
    assert page.evaluate("document.documentElement.scrollWidth") <= width
