"""The report: one page that shows what all stages wrote, needs nothing else and bears with inputs that say little."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.evaluation import Evaluation
from tasks.contracts.record import read_record, write_record
from tasks.contracts.verdict import Outcome, Verdict
from tests.fixtures.report import write_inputs
from tests.fixtures.report_data import Scene
from tests.fixtures.report_page import PLAIN, Page, draw, drawn_from
from tests.fixtures.repository import REPOSITORY

HINT = "set export.nms_agnostic: true: 12 of 16 errors are boxes of several classes on one object"
SECTIONS = ["rules", "targets", "champion", "classes", "errors", "images", "slices", "findings", "data", "split",
            "training", "search", "lineage"]  # fmt: skip

pytest_plugins = ["tests.fixtures.report_page"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Path]]:
    return draw(tmp_path_factory.mktemp("rich"), Scene())


def test_command_draws_the_page(tmp_path: Path) -> None:
    paths = write_inputs(tmp_path, PLAIN)
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    report = tmp_path / "out" / "report.html"
    params_file = tmp_path / "params.yaml"
    params_file.write_text("use_case: {target: openvino-int8, metric: map50}\nreport: {worst_images: 1}\n")
    command = [sys.executable, "-m", "tasks.report", *options, "--report", str(report), "--params", str(params_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 2
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_nothing_is_loaded_from_elsewhere(rich: tuple[str, dict[str, Path]]) -> None:
    html, _ = rich
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "poster", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (name, value)
    assert not re.search(r"(?:url\(|@import)\s*['\"]?(?!#)", html)
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]


def test_ids_are_unique_and_every_reference_has_its_target(rich: tuple[str, dict[str, Path]]) -> None:
    html, _ = rich
    ids = [attributes["id"] for _, attributes in Page(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', html)) <= set(ids)


def test_verdict_comes_first_with_what_fell_short_by_how_much(rich: tuple[str, dict[str, Path]]) -> None:
    html, paths = rich
    verdict = read_record(paths["verdict"], Verdict)
    text = Page(html).text
    assert 0 < text.index("Rejected:") < text.index("0.050 short of 0.95") < text.index("Targets side by side")
    for target in verdict.targets.values():
        for rule in target.rules:
            assert rule.rule in text
            assert rule.reason in text


@pytest.mark.parametrize("outcome", ["accepted", "rejected", "undecided"])
def test_every_reason_stands_once(tmp_path: Path, outcome: Outcome) -> None:
    html, paths = draw(tmp_path, replace(PLAIN, targets=("openvino-int8", "champion"), outcome=outcome, hints=(HINT,)))
    rules = read_record(paths["verdict"], Verdict).targets["openvino-int8"].rules
    text = Page(html).text
    assert [text.count(rule.reason) for rule in rules] == [1] * len(rules)
    assert text.count(HINT) == 1


def test_many_rules_that_are_not_met_are_folded(tmp_path: Path) -> None:
    paths = write_inputs(tmp_path, PLAIN)
    verdict = read_record(paths["verdict"], Verdict)
    judged = verdict.targets["openvino-int8"]
    short = judged.rules[0]
    forty = [short.model_copy(update={"rule": f"rule {n}", "reason": f"reason {n} of 40"}) for n in range(40)]
    many = verdict.targets | {"openvino-int8": judged.model_copy(update={"rules": forty})}
    write_record(verdict.model_copy(update={"targets": many}), paths["verdict"])
    text = Page(drawn_from(paths, tmp_path)).text
    assert "40 rules of 40 are not met." in text
    assert text.index("reason 5 of 40") < text.index("34 more rules not met") < text.index("reason 6 of 40")
    assert text.count("reason 39 of 40") == 1


def test_headings_go_down_one_level_at_a_time(rich: tuple[str, dict[str, Path]]) -> None:
    levels = [int(tag[1]) for tag, _ in Page(rich[0]).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_picture_has_words(rich: tuple[str, dict[str, Path]]) -> None:
    page = Page(rich[0])
    for image in page.all("img"):
        assert image.get("alt")
    for drawing in page.all("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden") == "true"


@pytest.mark.parametrize("section", SECTIONS)
def test_contents_lead_to_every_section(rich: tuple[str, dict[str, Path]], section: str) -> None:
    page = Page(rich[0])
    assert section in [attributes.get("id") for attributes in page.all("section")]
    assert f"#{section}" in [link["href"] for link in page.all("a")]


def test_every_target_stands_beside_the_others_with_its_figures(rich: tuple[str, dict[str, Path]]) -> None:
    html, paths = rich
    text = Page(html).text
    table = text[text.index("Targets side by side") : text.index("Against the champion", text.index("Targets side"))]
    for target in Scene().targets:
        evaluation = read_record(paths["evaluations"] / target / "evaluation.json", Evaluation)
        assert target in table
        for interval in evaluation.overall.values():
            assert f"{interval.value:.3f} {interval.low:.3f}\N{EN DASH}{interval.high:.3f}" in table
        assert evaluation.latency is not None
        assert f"{evaluation.latency.p50_ms:.2f} p95 {evaluation.latency.p95_ms:.2f}" in table
    assert "AGPL-3.0" in table
    assert "60 of 61 within 1.8 px" in table


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("“best f1”", id="operating point"),
        pytest.param("4 parts are resampled", id="what was resampled"),
        pytest.param("objects, 4 parts of scenes", id="parts are not the groups of the split"),
        pytest.param("Expected calibration error 0.061", id="calibration error"),
        pytest.param("The two tables are one reading", id="how kinds of errors and confusion relate"),
        pytest.param("Value one-sided bounds", id="kind of interval of rules"),
        pytest.param("two-sided 95 %: 0.814", id="kind of interval of the first figure"),
        pytest.param("in all tables below, are two-sided 95 % intervals", id="kind of interval of tables"),
        pytest.param("registry version 3", id="champion version"),
        pytest.param("points have no extent 3 belt: line 0/frame_000003.png", id="drop reason with its place"),
        pytest.param("a near duplicate 41 % 0 %", id="leakage before and after"),
        pytest.param("goes 7.5 px over the right border", id="finding"),
        pytest.param("belt, task 17, frame 1, line 1/frame_000001.png", id="finding's place"),
        pytest.param("Pull the box back", id="what a labeller does about it"),
        pytest.param("13 of 14 expectations about objects hold", id="expectations"),
        pytest.param("Best epoch 17: mAP50 0.871 on val", id="best epoch"),
        pytest.param("3f9c2d1e8b7a6054c3f9c2d1e8b7a6054c3f9c2d", id="code"),
        pytest.param("c3" * 32, id="data hash"),
        pytest.param("train.lr0 0.005", id="params"),
        pytest.param("torch 2.13.0", id="versions"),
        pytest.param("64 train images", id="calibration images"),
        pytest.param("12 trials for mAP50 on val", id="search"),
    ],
)
def test_page_says(rich: tuple[str, dict[str, Path]], shown: str) -> None:
    assert shown in Page(rich[0]).text


def test_same_inputs_give_the_same_bytes(page_of: Callable[[Scene], str], tmp_path: Path) -> None:
    assert draw(tmp_path, PLAIN)[0] == page_of(PLAIN)


def test_page_of_a_demo_stays_small(rich: tuple[str, dict[str, Path]]) -> None:
    assert len(rich[0]) < 3_000_000


HOSTILE = "<b>&\"'$x$</b><script>alert(1)</script>"


def test_label_with_markup_in_it_is_shown_as_it_is(tmp_path: Path) -> None:
    html, _ = draw(tmp_path, replace(PLAIN, labels=("bolt", HOSTILE), images=18))
    assert "<script" not in html
    assert "<b>&" not in html
    page = Page(html)
    assert HOSTILE in page.text
    assert not page.all("script")


@pytest.mark.parametrize(
    ("scene", "shown"),
    [
        pytest.param(replace(PLAIN, outcome="accepted"), "Accepted: openvino-int8 goes out", id="accepted"),
        pytest.param(replace(PLAIN, outcome="undecided"), "about 140 more test objects of", id="undecided"),
        pytest.param(
            replace(PLAIN, champion=False), "There was nothing to compare with: the registry holds no", id="no champion"
        ),
        pytest.param(
            replace(PLAIN, champion_knows=("bolt", "washer", "cracks")),
            'Compared over "bolt", "washer" alone: the champion does not know "crack"; the champion alone knows '
            '"cracks". If that is another name for the same, set parse.rename: {"crack": "cracks"}.',
            id="champion of other classes",
        ),
        pytest.param(
            replace(PLAIN, champion_knows=("dent", "burr", "cracks")), "it knows other classes", id="no class in common"
        ),
        pytest.param(
            replace(PLAIN, targets=("pytorch", "openvino-int8")), "No champion was among the targets", id="not asked"
        ),
        pytest.param(
            replace(PLAIN, targets=("pytorch",)), "no evaluation of it was handed in", id="live target not measured"
        ),
        pytest.param(replace(PLAIN, trials=0), "No parameters were searched", id="no trials"),
        pytest.param(replace(PLAIN, trials=1), "1 trial for mAP50", id="one trial"),
        pytest.param(replace(PLAIN, findings=False), "Nothing was found wrong with 12 images", id="no findings"),
        pytest.param(replace(PLAIN, objects=False), "The test split holds no objects", id="no test objects"),
        pytest.param(replace(PLAIN, intervals=False), "no interval", id="no intervals"),
        pytest.param(replace(PLAIN, labels=("part",)), "320 px, 1 class", id="one class"),
        pytest.param(
            replace(PLAIN, labels=tuple(f"part {n}" for n in range(80))),
            "60 others in one row and column",
            id="80 classes",
        ),
    ],
)
def test_input_that_says_little_or_much_gives_a_whole_page(
    page_of: Callable[[Scene], str], scene: Scene, shown: str
) -> None:
    page = Page(page_of(scene))
    assert shown in page.text
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert not re.search(r"\b(?:None|nan|NaN|Undefined)\b", page.text)


def test_class_that_parse_renames_is_told_so_where_the_champion_knows_it_by_its_old_name(tmp_path: Path) -> None:
    scene = replace(PLAIN, champion_knows=("bolt", "washer", "cracks"))
    html, _ = draw(tmp_path, scene, "parse: {rename: {cracks: crack}}\n")
    assert "the champion alone knows \"cracks\". parse.rename turns 'cracks' into 'crack'." in Page(html).text


def test_image_whose_file_is_gone_is_named_and_not_drawn(tmp_path: Path) -> None:
    paths = write_inputs(tmp_path, PLAIN)
    for file in paths["raw"].rglob("*.png"):
        file.unlink()
    assert "The file is missing, so it cannot be drawn." in drawn_from(paths, tmp_path)


def test_live_is_the_champion_alone(rich: tuple[str, dict[str, Path]]) -> None:
    text = Page(rich[0]).text
    assert "openvino-int8 decides" in text
    assert text.count("champion live, version 3") == 2
    assert len(re.findall(r"\blive\b", text, re.IGNORECASE)) == 2


def test_amounts_shown_follow_params(tmp_path: Path) -> None:
    html, _ = draw(tmp_path, replace(PLAIN, images=30), "report: {worst_images: 1, findings: 2, thumbnails: 0}")
    photos = [drawing for drawing in Page(html).all("svg") if drawing.get("class") == "photo"]
    assert len(photos) == 1
    assert "And 7 more in the list." in html


def test_missing_evaluations_say_what_to_run(tmp_path: Path) -> None:
    paths = write_inputs(tmp_path, Scene(targets=()))
    with pytest.raises(PipelineError, match=r"Run evaluate for each of export\.targets"):
        drawn_from(paths, tmp_path)
    assert not (tmp_path / "report.html").exists()
