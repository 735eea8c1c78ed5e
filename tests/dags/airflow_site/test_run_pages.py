"""The plugin's pages, asked for without a server."""

from pathlib import Path

from tests.fixtures.airflow_environment import probe


def test_report_is_that_of_the_dag_whose_runs_one_may_see(tmp_path: Path) -> None:
    report = tmp_path / "first" / "reports" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<h1>report</h1>")
    shown = probe("reports", tmp_path, SIGHTLINE_WORKSPACES=str(tmp_path))
    assert shown["training"] == [200, "<h1>report</h1>"]
    assert shown["labels"][0] == 404
    assert "report</h1>" not in shown["labels"][1]
