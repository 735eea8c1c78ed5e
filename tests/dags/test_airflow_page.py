"""What people see of Airflow, in a real browser; screenshots stay in .work/screenshots of the checkout."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
import yaml
from playwright.sync_api import Browser, expect

from tests.fixtures.airflow_browser import BEFORE_LOGIN, PATIENCE_MS, Visit, browser
from tests.fixtures.airflow_server import Server, quoted
from tests.fixtures.airflow_site import Site

pytestmark = [pytest.mark.flows, pytest.mark.parametrize("site", ["process"], indirect=True)]
RUNS = "/api/v2/dags/training/dagRuns"


@pytest.fixture
def server(site: Site) -> Server:
    return site.server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture
def visit(server: Server, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A browser that has never been here; what it showed last is kept, for whoever asks why a test failed."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    visiting = Visit(server, context.new_page())
    yield visiting
    visiting.keep(f"last-{request.node.name}")
    context.close()
    assert visiting.complaints == []


def test_bad_value_is_refused_in_the_form(visit: Visit) -> None:
    form = visit.form()
    form.field("use_case.metric").fill("mAP")
    form.trigger()
    expect(visit.page.get_by_text("'mAP' does not match")).to_be_visible(timeout=PATIENCE_MS)
    visit.keep("form-refused")
    assert set(visit.refused) == {BEFORE_LOGIN, (400, RUNS)}


def test_run_begins_with_the_values_of_the_form(visit: Visit) -> None:
    page, server = visit.page, visit.server
    form = visit.form()
    form.field("train.epochs").fill("3")
    form.leave_only("export.targets", {"pytorch", "onnx"})
    form.choose("use_case.target", "onnx")
    form.field("gate.rules").fill("map50 >= 0.1\n\n")
    visit.keep("form")
    form.trigger()
    page.wait_for_url("**/runs/*")
    run_id = unquote(page.url.rstrip("/").rsplit("/", 1)[1])
    # Drawing the graph again and again takes half a core from the run that is waited for.
    page.goto("about:blank")
    server.wait_until(run_id, lambda: server.states(run_id).get("restore") == "success")
    assert params_of(server, run_id) == (3, ["pytorch", "onnx"], "onnx", ["map50 >= 0.1"])
    # What a run does from there on, others show.
    server.call("PATCH", f"/dags/training/dagRuns/{quoted(run_id)}", {"state": "failed"})
    assert set(visit.refused) == {BEFORE_LOGIN}


def params_of(server: Server, run_id: str) -> tuple[object, ...]:
    """What the form's values have become: epochs, targets, target, rules."""
    file = next((server.home / "workspaces").glob(f"{run_id[:20]}*")) / "params.yaml"
    params = yaml.safe_load(file.read_text("utf-8"))
    targets, target = params["export"]["targets"], params["use_case"]["target"]
    return params["train"]["epochs"], targets, target, params["gate"]["rules"]


@pytest.mark.usefixtures("first")
def test_page_of_a_run_leads_to_its_verdict_its_tasks_and_its_report(visit: Visit) -> None:
    page = visit.page
    visit.open("/dags/training/runs/first")
    expect(page.get_by_text("onnx passes 1 of 1 rules")).to_be_visible(timeout=PATIENCE_MS)
    visit.keep("run")
    # A page that is drawn before its texts have arrived keeps their keys as names.
    page.get_by_role("button", name=re.compile("Expand all task groups|taskGroups.expandAll")).click()
    page.get_by_role("button", name=re.compile("Show Graph|buttons.showGraphShortcut")).click()
    for name in ("data", "model", "release", "train"):
        expect(page.locator(".react-flow__node").get_by_text(name, exact=True).first).to_be_visible()
    visit.keep("graph")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report", exact=True).click()
    expect(opened.value.get_by_role("heading", name="report")).to_be_visible()
    assert set(visit.refused) == {BEFORE_LOGIN}


def test_note_of_a_failed_run_says_where_and_in_which_words(visit: Visit) -> None:
    visit.server.trigger("lost", {"revision": "no-such-branch"})
    assert visit.server.wait("lost") == "failed"
    visit.open("/dags/training/runs/lost")
    expect(visit.page.get_by_text("neither a branch, a tag nor a commit")).to_be_visible(timeout=PATIENCE_MS)
    visit.keep("run-failed")
    with visit.page.expect_popup() as opened:
        visit.page.get_by_role("link", name="log", exact=True).click()
    expect(opened.value.get_by_text("no-such-branch")).not_to_have_count(0, timeout=PATIENCE_MS)
    assert opened.value.url.endswith("/runs/lost/tasks/workspace")


def test_note_has_the_message_of_a_stage_that_failed(server: Server) -> None:
    server.trigger("wrong", {"params": {"parse.points": "wrong"}})
    assert server.wait("wrong") == "failed"
    words = "(/dags/training/runs/wrong/tasks/parse)): error: parse.points cannot be wrong: params.yaml. Choose one"
    assert words in server.run("wrong")["note"]


def test_target_that_is_not_exported_is_told_at_once_and_not_by_the_gate(server: Server) -> None:
    server.trigger("apart", {"export.targets": ["pytorch"], "use_case.target": "onnx"})
    assert server.wait("apart") == "failed"
    assert "use_case.target is onnx, which is not among export.targets (pytorch)" in server.run("apart")["note"]


def test_source_that_is_not_there_is_told_at_once_and_not_by_ingest_try_after_try(server: Server) -> None:
    server.trigger("nowhere", {"ingest.source": "nowhere/labels.zip"})
    assert server.wait("nowhere") == "failed"
    assert "ingest.source is nowhere/labels.zip: nothing is there; give a zip" in server.run("nowhere")["note"]
    assert server.states("nowhere")["ingest"] == "upstream_failed"


def test_link_to_a_report_leads_over_the_login_and_says_if_there_is_none(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 700})
    visit.page.goto(f"{visit.server.address}/sightline/training/none/report")
    visit.log_in()
    expect(visit.page.get_by_role("heading", name="No report yet")).to_be_visible()
    expect(visit.page.get_by_text("runs/none")).to_be_visible()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
    visit.keep("no-report")
