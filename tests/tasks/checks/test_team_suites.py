"""A team's own suites of expectations: what they find, and what is said of those that cannot be used."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tasks.check import CheckParams
from tasks.checks.judged_tables import judged_tables
from tasks.checks.team_suites import columns_of_tables, suite_faults
from tasks.contracts.errors import PipelineError
from tasks.contracts.params import read_params
from tests.fixtures.check import NO_MEASURES, Checked, checked, clean
from tests.fixtures.doctor import Sections, told
from tests.fixtures.repository import REPOSITORY
from tests.fixtures.tables import toy_images, toy_objects

pytest_plugins = ["tests.fixtures.doctor"]
pytestmark = pytest.mark.slow

PAGE = (REPOSITORY / "docs" / "checks.md").read_text(encoding="utf-8")
PLATES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
NIGHT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
TINY_PLATE = {"x_min": 10.0, "y_min": 10.0, "x_max": 30.0, "y_max": 14.0}


@pytest.fixture(scope="module")
def with_suites(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Whole images with one plate that is too low, held to the suites of docs/checks.md."""
    folder = tmp_path_factory.mktemp("suites")
    (folder / "suites").mkdir()
    (folder / "suites" / "plates.json").write_text(PLATES)
    (folder / "suites" / "night.py").write_text(NIGHT.replace("< 60", "> 60"))
    drawn = clean(folder, 4)
    drawn.label("clean2", "plate", label="car", **TINY_PLATE)
    return checked(folder, drawn, suites=str(folder / "suites"))


def test_rows_that_fail_an_expectation_of_the_team_are_findings_with_image_and_object(with_suites: Checked) -> None:
    found = with_suites.findings[with_suites.findings["rule"] == "plates.too_small_to_read"]
    columns = ["severity", "message", "image_id", "object_id", "label", "where"]
    assert found[columns].to_numpy().tolist() == [
        ["error", "shorter_side_px 4", "clean2", "plate", "car", "export · task 7 · frame 2 · clean2.png"]
    ]


def test_conditions_on_the_image_of_an_object_hold_for_its_row(with_suites: Checked) -> None:
    rule = "night.column_values_to_be_in_set.label"
    found = with_suites.findings[with_suites.findings["rule"] == rule]
    assert found["object_id"].tolist() == ["clean0-0", "clean1-0", "clean2-0", "clean3-0"]
    assert set(found["severity"]) == {"warning"}


def test_severities_of_the_team_stop_the_run_as_ours_do(with_suites: Checked, tmp_path: Path) -> None:
    assert with_suites.report.stops == [
        "plates.too_small_to_read: shorter_side_px 4. Leave the plate out, or label a closer frame."
    ]
    drawn = clean(tmp_path, 4)
    drawn.label("clean2", "plate", **TINY_PLATE)
    (tmp_path / "plates.json").write_text(PLATES.replace("critical", "info"))
    assert checked(tmp_path, drawn, suites=str(tmp_path / "plates.json")).report.passed


def test_report_and_data_docs_say_what_the_team_expects(with_suites: Checked) -> None:
    (count,) = (count for count in with_suites.report.rules if count.rule == "plates.too_small_to_read")
    assert count.meaning == "A plate can be read: it is 6 pixels high at least."
    assert count.hint == "Leave the plate out, or label a closer frame."
    counts = with_suites.report.expectations
    assert (counts["objects_with_images"].evaluated, counts["objects_with_images"].failed) == (1, 1)
    (page,) = (with_suites.folder / "docs" / "validations" / "plates").rglob("*.html")
    assert "plates.too_small_to_read: error" in page.read_text(encoding="utf-8")
    (page,) = (with_suites.folder / "docs" / "validations" / "shape").rglob("*.html")
    assert "shape.column_mean_to_be_between.brightness: holds" in page.read_text(encoding="utf-8")


def test_expectation_about_a_whole_column_is_one_finding_with_what_was_observed(tmp_path: Path) -> None:
    (tmp_path / "night.py").write_text(NIGHT.replace("min_value=30", "min_value=250"))
    found = checked(tmp_path, clean(tmp_path, 4), suites=str(tmp_path / "night.py")).findings
    (row,) = found[found["rule"] == "shape.column_mean_to_be_between.brightness"].to_dict("records")
    assert row["severity"] == "note"
    assert row["message"] == f"observed is {row['value']}"
    assert 30 < row["value"] < 250


def test_rows_that_fail_are_no_findings_while_mostly_holds(tmp_path: Path) -> None:
    drawn = clean(tmp_path, 4)
    drawn.label("clean2", "plate", **TINY_PLATE)
    limits = {"column": "shorter_side_px", "min_value": 6, "mostly": 0.5}
    (tmp_path / "a.json").write_text(expectation(kwargs=limits))
    assert not checked(tmp_path, drawn, suites=str(tmp_path / "a.json")).findings["rule"].str.startswith("plates").any()


def test_expectations_of_one_column_keep_their_own_words_and_severities(tmp_path: Path) -> None:
    limits = [("Wide enough", "warning", 1000), ("Wide", "critical", 2000), ("Wide enough", "info", 1000)]
    expectations = [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "width", "min_value": least},
            "severity": severity,
            "description": text,
        }
        for text, severity, least in limits
    ]
    of_sets = {"type": "expect_column_distinct_values_to_be_in_set", "kwargs": {"column": "source", "value_set": ["x"]}}
    drawn_by_the_library = {
        "type": "expect_column_quantile_values_to_be_between",
        "kwargs": {"column": "width", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 9000]]}},
    }
    suite = {
        "name": "wide",
        "meta": {"table": "images"},
        "expectations": [*expectations, of_sets, drawn_by_the_library],
    }
    (tmp_path / "wide.json").write_text(json.dumps(suite))
    found = checked(tmp_path, clean(tmp_path, 2), suites=str(tmp_path / "wide.json"))
    rule = "wide.column_values_to_be_between.width"
    told_of = {
        count.rule: (count.severity, count.meaning) for count in found.report.rules if count.rule.startswith(rule)
    }
    assert told_of == {
        rule: ("warning", "Wide enough"),
        f"{rule}-2": ("error", "Wide"),
        f"{rule}-3": ("note", "Wide enough"),
    }
    (message,) = found.findings.loc[found.findings["rule"].str.endswith(".source"), "message"]
    assert message.startswith("observed is ['")


def test_joined_table_has_each_object_once_and_no_image_without_objects() -> None:
    images = toy_images([{"image_id": "a", "name": "a.png"}, {"image_id": "empty"}])
    objects = toy_objects([{"object_id": "1", "image_id": "a"}, {"object_id": "2", "image_id": "gone"}])
    joined = judged_tables(images, objects, NO_MEASURES).objects_with_images.set_index("object_id")
    assert joined["image_name"].dropna().to_dict() == {"1": "a.png"}
    assert sorted(joined.index) == ["1", "2"]


def test_suite_in_json_may_use_an_expectation_that_the_team_wrote(tmp_path: Path) -> None:
    (tmp_path / "_common.py").write_text("import great_expectations.expectations as gxe\n")
    (tmp_path / "later.py").write_text(
        "from _common import gxe\n\n\n"
        "class ExpectLabelOfOurs(gxe.ExpectColumnValuesToBeInSet):\n"
        '    """Expect a label that we know."""\n'
    )
    suite = json.loads(PLATES)
    suite["expectations"] = [{"type": "expect_label_of_ours", "kwargs": {"column": "label", "value_set": ["part"]}}]
    (tmp_path / "first.json").write_text(json.dumps(suite))
    assert suite_faults(tmp_path) == []


def plates(change: Callable[[dict[str, object]], object]) -> str:
    suite = json.loads(PLATES)
    change(suite)
    return json.dumps(suite)


def expectation(**fields: object) -> str:
    return plates(lambda suite: suite.update(expectations=[json.loads(PLATES)["expectations"][0] | fields]))


UNUSABLE = [
    ("a.json", "{", "is no JSON: Expecting property name"),
    ("a.json", "[]", "is no suite, which has `name` and `expectations`"),
    ("a.json", plates(lambda suite: suite.pop("name")), "save it with Great Expectations 1.0 or later"),
    ("a.json", plates(lambda suite: suite.pop("meta")), "has the table None, choose of images, objects, objects_w"),
    ("a.json", plates(lambda suite: suite.update(meta={"table": "boxes"})), "suite plates: its meta has the table"),
    ("a.json", plates(lambda suite: suite.update(meta=[])), "its `meta` is no mapping; it has the table, such as"),
    ("a.json", plates(lambda suite: suite.update(meta={"table": ["images"]})), "has the table ['images'], choose of"),
    ("a.json", plates(lambda suite: suite.update(name=3)), "name must be provided as a non-empty string"),
    ("a.json", plates(lambda suite: suite.update(name="objects")), "the name 'objects' is taken"),
    ("a.py", f"{NIGHT}\nagain = gx.ExpectationSuite(name='night', meta={{'table': 'images'}})\n", "'night' is taken"),
    ("a.json", plates(lambda suite: suite.update(name="a/b")), "the name 'a/b' has other characters than letters"),
    ("a.json", expectation(type="expect_column_value_to_be_between"), "nearest is expect_column_values_to_be_bet"),
    ("a.json", expectation(severity="fatal"), "Invalid severity 'fatal'. Must be one of: critical, warning, info"),
    ("a.json", expectation(kwargs={"column": "label"}), "min_value and max_value cannot both be None"),
    (
        "a.json",
        expectation(kwargs={"column": "short_side_px", "min_value": 6}),
        "objects has no column 'short_side_px'; the nearest is shorter_side_px",
    ),
    ("a.py", "x = 1\n1 / 0\n", "line 2 raises ZeroDivisionError: division by zero"),
    ("a.py", "x = (\n", "line 1 raises SyntaxError"),
    ("a.py", "x = 1\n", "no name at its top level is an ExpectationSuite"),
    ("a.py", NIGHT.replace("image_brightness", "brightness"), "no column 'brightness'; the nearest is image_brigh"),
    ("a.txt", "", "its name ends neither in .json nor in .py"),
    ("gone.json", None, "does not exist: name a file or a folder of suites"),
]


@pytest.mark.parametrize(("name", "content", "said"), UNUSABLE, ids=[said for *_, said in UNUSABLE])
def test_suite_that_cannot_be_used_is_told_by_name_before_anything_runs(
    sections: Sections, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    sections["check"]["suites"] = name
    (fault,) = told(sections)
    assert fault.startswith(f"check.suites: {name}")
    assert said in fault


def test_what_lies_behind_links_is_told(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "suites" / "_gone.json").symlink_to(tmp_path / "elsewhere" / "a.json")
    link, gone = suite_faults(tmp_path / "suites")
    assert "more: a linked folder is not looked into; put its files here, or name it in check.suites" in link
    assert "_gone.json: cannot be read: No such file" in gone


def test_empty_path_of_suites_is_refused(sections: Sections) -> None:
    sections["check"]["suites"] = " "
    (fault,) = told(sections)
    assert "check.suites: Value error, it is empty; name a file or a folder" in fault


def test_params_of_0_1_are_told_what_to_add(sections: Sections, tmp_path: Path) -> None:
    del sections["check"]["suites"]
    (fault,) = told(sections)
    assert fault.startswith("check.suites is missing: add `suites: tasks/checks/suites`")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    with pytest.raises(PipelineError, match=re.escape(fault)):
        read_params(tmp_path / "params.yaml", "check", CheckParams)


def test_check_refuses_suites_that_cannot_be_used_and_names_them_all(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    for number in range(2):
        (tmp_path / "suites" / f"{number}.json").write_text("{")
    with pytest.raises(PipelineError) as raised:
        checked(tmp_path, clean(tmp_path, 2), suites=str(tmp_path / "suites"))
    assert len(raised.value.faults) == 2
    assert "docs/checks.md" in raised.value.hint


def test_expectation_that_cannot_be_evaluated_is_told_and_no_report_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(expectation(kwargs={"column": "label", "min_value": 6}))
    with pytest.raises(PipelineError, match="suite plates, expect_column_values_to_be_between") as raised:
        checked(tmp_path, clean(tmp_path, 2), suites=str(tmp_path / "a.json"))
    assert "docs/checks.md" in raised.value.hint
    assert not (tmp_path / "checks").exists()


def test_page_lists_every_column_of_every_table() -> None:
    columns = columns_of_tables()
    listed = set(re.findall(r"`(\w+)`", PAGE))
    assert {*columns["images"], *columns["objects"]} <= listed
