"""Airflow's page in headless Chromium: log in, fill the form, keep screenshots, hear what the browser says is wrong."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, expect, sync_playwright

from tests.airflow_server import REPOSITORY, Server
from tests.needs import lacking

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SCREENSHOTS = REPOSITORY / ".work" / "screenshots"
# A loaded machine takes its time to start the page's seven megabytes of script.
PATIENCE_MS = 60_000
# Before the login the page asks what it may show, and is refused.
BEFORE_LOGIN = (401, "/ui/config")


@dataclass
class Visit:
    """A browser's page on a server, and what went wrong in it."""

    server: Server
    page: Page
    refused: list[tuple[int, str]] = field(default_factory=list)  # answers of the server: status and path
    heard: list[str] = field(default_factory=list)  # from scripts and from the browser
    aborted: list[str] = field(default_factory=list)  # addresses that were still loading when the page was left

    def __post_init__(self) -> None:
        self.page.on("response", self._hear_response)
        self.page.on("requestfailed", self._hear_failure)
        self.page.on("console", self._hear_console)
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.set_default_timeout(PATIENCE_MS)

    def _hear_response(self, response: Response) -> None:
        if response.status >= 400:
            self.refused.append((response.status, urlsplit(response.url).path))

    def _hear_failure(self, request: Request) -> None:
        if request.failure == "net::ERR_ABORTED":
            self.aborted.append(request.url)

    def _hear_console(self, message: ConsoleMessage) -> None:
        # The browser's own line on a refused request says less than the response.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.heard.append(message.text)

    @property
    def complaints(self) -> list[str]:
        """What was heard, without scripts that complain of what they lack because the page was left."""
        return [line for line in self.heard if not any(address in line for address in self.aborted)]

    def open(self, path: str) -> None:
        """Go to a page of the server, over its login if it asks for one."""
        self.page.goto(f"{self.server.address}{path}")
        self.page.wait_for_load_state("networkidle")
        if "/login" in self.page.url:
            self.log_in()

    def log_in(self) -> None:
        """Fill the login's form; the server leads back to where one wanted to go."""
        self.page.locator("[name=username]").fill("admin")
        self.page.locator("[name=password]").fill(self.server.password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/login" not in url)
        self.page.wait_for_load_state("networkidle")

    def form(self, dag_id: str = "training") -> "Form":
        """The form behind the Trigger button."""
        self.open(f"/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").click()
        form = Form(self.page.get_by_role("dialog"))
        expect(form.field("train.epochs")).to_be_visible(timeout=PATIENCE_MS)
        return form

    def keep(self, name: str) -> None:
        """Keep a screenshot."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@dataclass
class Form:
    """Airflow's form of a DAG's params."""

    dialog: Locator

    def field(self, name: str) -> Locator:
        """The input of a param."""
        return self.dialog.locator(f"[name='element_{name}']")

    def open_section(self, name: str) -> None:
        """Unfold a section; the page folds the others."""
        self.dialog.get_by_role("button", name=name, exact=True).click()

    def choose(self, name: str, option: str) -> None:
        """Choose an option of a list."""
        self.dialog.locator(f"[id='element_{name}']").get_by_role("combobox").click()
        self.dialog.page.get_by_role("option", name=option, exact=True).click()

    def leave_only(self, name: str, options: set[str]) -> None:
        """Take all other options out of a list of several."""
        chosen = self.dialog.locator(f"[id='element_{name}']")
        removing = [str(button.get_attribute("aria-label")) for button in chosen.locator("[aria-label^=Remove]").all()]
        for label in removing:
            if label.removeprefix("Remove ") not in options:
                chosen.locator(f"[aria-label='{label}']").click()

    def trigger(self) -> None:
        """Press its button."""
        self.dialog.get_by_role("button", name="Trigger").click()


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium; skips where there is none, but not in CI."""
    if CHROMIUM is None:
        lacking("no chromium on this machine: Airflow's page is not looked at")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=Path(CHROMIUM), args=["--no-sandbox"])
        yield launched
        launched.close()
