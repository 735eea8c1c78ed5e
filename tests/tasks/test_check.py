"""check: every planted fault is found, whole data are left in peace."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.checks.rules import RULES
from tasks.contracts.digests import content_sha256
from tasks.contracts.ledger import ImageCounts, ObjectCounts
from tests.fixtures.check import Checked, Drawn, checked, clean, decoded, encoded, scene, without_middle
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.tables import toy_ledger

pytestmark = pytest.mark.slow

QUALITY = ("blurred", "dark", "flat", "large", "resized")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Thirty whole images, and one fault of each kind."""
    folder = tmp_path_factory.mktemp("planted")
    drawn = clean(folder)
    whole = scene(99)
    drawn.add("junk", b"no image at all")
    drawn.add("empty", b"")
    drawn.add("cut", encoded(scene(31), ".jpg")[:-200])
    drawn.add("torn", without_middle(encoded(scene(36), ".jpg")))
    drawn.add("copy", encoded(scene(1)))
    drawn.add("relabelled", encoded(scene(2)))
    drawn.label("relabelled", label="bolt", x_min=90.0, x_max=110.0)
    drawn.add("reencoded", decoded(encoded(scene(3), ".jpg")), group="other scene")
    drawn.add("twin", cv2.add(scene(4), 12))
    drawn.add("blurred", cv2.GaussianBlur(whole, (0, 0), 4))
    drawn.add("dark", (scene(32) // 20).astype(np.uint8))
    drawn.add("flat", (scene(33) // 100 + 120).astype(np.uint8))
    drawn.add("large", scene(34, (1600, 1200)), width=1600, height=1200)
    drawn.add("resized", scene(35, (80, 60)))
    drawn.images.append({"image_id": "absent", "file": None, "sha256": None, "frame": 900})
    drawn.label("clean5", "tiny", x_min=10.0, y_min=10.0, x_max=11.0, y_max=30.0)
    drawn.label("clean6", "huge", x_min=0.0, y_min=0.0, x_max=159.0, y_max=119.0)
    drawn.label("clean7", "again", x_min=40.5, y_min=30.0, x_max=60.0, y_max=50.0)
    drawn.label("clean8", "either", label="bolt", x_min=40.5, y_min=30.0, x_max=60.0, y_max=50.0)
    drawn.label("clean9", "long", x_min=10.0, y_min=70.0, x_max=150.0, y_max=75.0)
    drawn.label("clean10", "mistyped", label="parts", x_min=100.0, x_max=120.0)
    drawn.label("clean11", "strange", label="gizmo", x_min=100.0, x_max=120.0)
    drawn.label("clean12", "blank", label=" ", x_min=100.0, x_max=120.0)
    drawn.label("clean13", "outside", x_min=150.0, x_max=170.0)
    drawn.label("clean14", "flat box", x_min=100.0, x_max=100.0)
    drawn.label("nowhere", "orphan", x_min=100.0, x_max=120.0)
    ledger = toy_ledger(
        ["part", "bolt", "spare"],
        objects=ObjectCounts(total=100, kept=98, converted=0, dropped=2),
        dropped={"no area": 2},
        dropped_examples={"no area": ["export: a.png, box, part"]},
        undeclared_labels=["gizmo"],
        clipped=3,
        files_without_labels=1,
        images=ImageCounts(**dict.fromkeys(ImageCounts.model_fields, 0) | {"ambiguous": 1, "size_mismatches": 1}),
        ambiguous=["export: b"],
        size_mismatches=["export: c.png, 160 x 120, labels say 120 x 160"],
    )
    return checked(folder, drawn, ledger, labels=["part", "bolt"], min_objects_per_class=2)


@pytest.mark.parametrize(
    ("rule", "severity", "image_id", "object_id"),
    [
        ("unreadable_image", "warning", "junk", None),
        ("unreadable_image", "warning", "empty", None),
        ("truncated_image", "warning", "cut", None),
        ("damaged_image", "warning", "torn", None),
        ("missing_images", "warning", "absent", None),
        ("duplicate_image", "warning", "copy", None),
        ("duplicate_image_other_labels", "warning", "relabelled", None),
        ("near_duplicate_images", "warning", "reencoded", None),
        ("near_duplicates_in_scene", "note", "clean4", None),
        ("blurred_image", "warning", "blurred", None),
        ("dark_image", "warning", "dark", None),
        ("low_contrast_image", "warning", "flat", None),
        ("odd_image_size", "note", "large", None),
        ("image_size_differs", "warning", "resized", None),
        ("tiny_box", "note", "clean5", "tiny"),
        ("huge_box", "note", "clean6", "huge"),
        ("duplicate_box", "warning", "clean7", "again"),
        ("box_under_two_labels", "warning", "clean8", "either"),
        ("odd_aspect_ratio", "note", "clean9", "long"),
        ("similar_labels", "warning", "clean10", "mistyped"),
        ("unknown_label", "error", "clean11", "strange"),
        ("label_blank", "error", "clean12", "blank"),
        ("box_outside_image", "error", "clean13", "outside"),
        ("box_without_area", "error", "clean14", "flat box"),
        ("object_without_image", "error", "nowhere", "orphan"),
    ],
)
def test_planted_fault_is_found(
    planted: Checked, rule: str, severity: str, image_id: str, object_id: str | None
) -> None:
    found = planted.findings[planted.findings["rule"] == rule]
    about = found[(found["image_id"] == image_id) | (found["other_image_id"] == image_id)]
    assert len(about) == 1, found
    assert about["severity"].item() == severity
    assert object_id is None or about["object_id"].item() == object_id


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        ("class_without_objects", "spare"),
        ("class_with_few_objects", "gizmo"),
        ("class_imbalance", None),
        ("undeclared_label", "gizmo"),
        ("dropped_objects", None),
        ("clipped_boxes", None),
        ("ambiguous_images", None),
        ("label_size_differs", None),
        ("files_without_labels", None),
    ],
)
def test_planted_fault_of_a_class_or_export_is_found(planted: Checked, rule: str, label: str | None) -> None:
    found = planted.findings[planted.findings["rule"] == rule]
    assert len(found) >= 1
    assert label is None or label in set(found["label"])


def test_images_without_a_planted_fault_are_left_in_peace(planted: Checked) -> None:
    about_images = planted.findings[planted.findings["object_id"].isna()]
    first_of_twins = {"clean3", "clean4"}
    blamed = set(about_images["image_id"].dropna()) - first_of_twins
    assert blamed == {"junk", "empty", "cut", "torn", "absent", "copy", "relabelled", "twin", *QUALITY}


def test_a_finding_says_where_it_stands_in_cvat(planted: Checked) -> None:
    tiny = planted.findings[planted.findings["object_id"] == "tiny"].iloc[0]
    assert tiny["where"] == "export · task 7 · frame 5 · clean5.png"


def test_similar_labels_are_reported_with_the_counts_of_each(planted: Checked) -> None:
    message = planted.findings.set_index("rule").loc["similar_labels", "message"]
    assert '"parts" may be meant as "part"' in str(message)
    assert "1 and " in str(message)


def test_report_counts_what_the_findings_list(planted: Checked) -> None:
    report, findings = planted.report, planted.findings
    assert report.findings == len(findings) == sum(count.findings for count in report.rules)
    assert report.severities == {
        severity: int((findings["severity"] == severity).sum()) for severity in ("error", "warning", "note")
    }
    assert report.images == 44
    assert report.found == 43
    assert report.decoded == 40
    assert report.objects_per_class["spare"] == 0


def test_errors_stop_and_say_what_to_do(planted: Checked) -> None:
    assert not planted.report.passed
    assert any(stop.startswith("unknown_label: label ") and "check.labels" in stop for stop in planted.report.stops)


def test_near_duplicates_share_a_cluster_and_are_paired(planted: Checked) -> None:
    clusters = planted.duplicates.set_index("image_id")["cluster"]
    pairs = {frozenset(pair) for pair in planted.near_duplicates[["image_id", "other_image_id"]].to_numpy().tolist()}
    for one, other in [("clean1", "copy"), ("clean3", "reencoded"), ("clean4", "twin")]:
        assert clusters[one] == clusters[other]
        assert frozenset((one, other)) in pairs
    assert clusters[[f"clean{number}" for number in range(30)]].is_unique
    assert not {"junk", "cut", "absent"} & set(clusters.index)


def test_data_docs_are_built_and_tell_nobody_who_reads_them(planted: Checked) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (planted.folder / "docs").rglob("*.html"))
    assert "unexpected Exception" not in pages
    assert "amazonaws" not in pages
    assert "dataContextId" not in pages


def test_data_docs_say_of_every_rule_how_it_went_and_name_the_rows_that_fail(planted: Checked) -> None:
    index = (planted.folder / "docs" / "index.html").read_text(encoding="utf-8")
    linked = re.findall(r'<li><a href="(validations/(\w+)/[^"]+)"', index)
    assert [suite for _, suite in linked] == ["dataset", "images", "objects"]
    pages = {suite: (planted.folder / "docs" / path).read_text(encoding="utf-8") for path, suite in linked}
    went = re.findall(r"(\w+): (holds|error|warning|note)\b", "".join(pages.values()))
    assert {rule for rule, _ in went} == RULES.keys()
    assert {rule for rule, how in went if how != "holds"} == set(planted.findings["rule"])
    assert "strange" in pages["objects"]
    assert "export · task 7 · frame 11 · clean11.png" in pages["objects"]
    assert "export · task 7 · frame 39 · dark.png" in pages["images"]


def test_whole_data_pass_without_a_finding(tmp_path: Path) -> None:
    result = checked(tmp_path, clean(tmp_path))
    assert result.findings.empty
    assert result.report.passed


def test_checking_again_gives_the_same_files(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 5)
    drawn.add("copy", encoded(scene(1)))
    before = content_sha256(checked(tmp_path, drawn).folder)
    assert content_sha256(checked(tmp_path, drawn).folder) == before


def test_a_killed_check_leaves_nothing_and_runs_again_to_the_same(tmp_path: Path) -> None:
    whole = checked(tmp_path, clean(tmp_path, 5))
    expected = content_sha256(whole.folder)
    shutil.rmtree(whole.folder)
    command = [sys.executable, "-m", "tasks.check", "--raw", "raw", "--annotations", "annotations"]
    command += ["--checks", "checks", "--params", "params.yaml"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as stage:
        assert stage.stderr is not None
        assert "checking 5 images" in stage.stderr.readline()
        stage.kill()
    assert not whole.folder.exists()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert content_sha256(whole.folder) == expected


@pytest.mark.parametrize(
    ("limits", "passed", "stopping"),
    [
        ({}, True, None),
        ({"max_unreadable_share": 0.01}, False, "unreadable_image"),
        ({"max_missing_share": 0.01}, False, "missing_images"),
        ({"max_dropped_share": 0.01}, False, "dropped_objects"),
        ({"stop_on": ["error", "warning"]}, False, "duplicate_image"),
        ({"max_unreadable_share": 0.01, "stop_on": []}, True, None),
    ],
    ids=["within limits", "unreadable", "missing", "dropped", "warnings stop", "nothing stops"],
)
def test_limits_and_severities_that_stop_are_params(
    tmp_path: Path, limits: dict[str, object], passed: bool, stopping: str | None
) -> None:
    drawn = clean(tmp_path)
    drawn.add("junk", b"no image")
    drawn.add("copy", encoded(scene(1)))
    drawn.images.append({"image_id": "absent", "file": None, "sha256": None})
    ledger = toy_ledger(objects=ObjectCounts(total=100, kept=98, converted=0, dropped=2), dropped={"no area": 2})
    report = checked(tmp_path, drawn, ledger, **limits).report
    assert report.passed == passed
    assert stopping is None or any(stop.startswith(stopping) for stop in report.stops)


def test_data_without_any_image_file_are_checked_for_labels(tmp_path: Path) -> None:
    drawn = Drawn(tmp_path / "raw", [{"image_id": f"i{n}", "file": None, "sha256": None} for n in range(4)], [])
    drawn.label("i0")
    result = checked(tmp_path, drawn)
    assert not result.report.passed
    assert result.duplicates.empty
    assert json.loads((result.folder / "report.json").read_text())["found"] == 0
