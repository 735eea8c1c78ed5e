"""The first files of Airflow on one machine: however often their making is killed, the next start makes them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.repository import REPOSITORY

# Stands in for airflow: makes the database that it is told of, in two steps, and may kill its caller before, between
# and behind them.
AIRFLOW = """#!/bin/sh
[ "$1" = db ] || exit 0
file="${{AIRFLOW__DATABASE__SQL_ALCHEMY_CONN#sqlite:///}}"
file="${{file%%\\?*}}"
[ "$(cat "$file" 2>/dev/null)" = half ] && exit 1
for content in '' half whole; do
  [ "$content" ] && echo "$content" >"$file"
  [ "{killed}" = "${{content:-none}}" ] && kill -9 $PPID
done
exit 0
"""
START = """
import pathlib, sys
import site_home
site_home.BIN = pathlib.Path(sys.argv[2])
home = pathlib.Path(sys.argv[1])
variables = site_home.environment(home, 8080, site_home.logins(home))
site_home.prepare(home, variables)
print(site_home.logins(home)["password"])
"""


def start(home: Path, killed: str = "") -> "subprocess.CompletedProcess[str]":
    (home / "logs").mkdir(parents=True, exist_ok=True)
    programs = home.parent / f"bin-{killed}"
    programs.mkdir(exist_ok=True)
    (programs / "airflow").write_text(AIRFLOW.format(killed=killed))
    (programs / "airflow").chmod(0o755)
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY / "dags" / "airflow_site")}
    command = [sys.executable, "-c", START, str(home), str(programs)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("killed", ["none", "half", "whole"])
def test_a_database_whose_making_was_killed_is_made_by_the_next_start(killed: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert start(home, killed).returncode == -9
    assert not (home / "airflow.db").exists()
    assert start(home).returncode == 0
    assert (home / "airflow.db").read_text() == "whole\n"
    assert not list(home.glob(".*"))


def test_a_database_that_was_half_made_in_place_is_named_with_the_way_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "airflow.db").write_text("half\n")
    done = start(home)
    assert done.returncode == 1
    assert f"{home}/airflow.db is not whole, or of a newer Airflow. Bring back a copy of it, or move it" in done.stderr
    assert "Traceback" not in done.stderr
    (home / "airflow.db").rename(home / "away.db")
    assert start(home).returncode == 0


def test_copies_that_a_person_keeps_beside_the_database_stay(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "airflow.db.bak").write_text("precious")
    assert start(home).returncode == 0
    assert (home / "airflow.db.bak").read_text() == "precious"


@pytest.mark.parametrize("content", ["", '{"password": "a'], ids=["empty", "cut short"])
def test_logins_that_a_kill_cut_short_are_made_again_and_then_stay(content: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "logins.json").write_text(content)
    password = start(home).stdout
    assert len(password) > 20
    assert start(home).stdout == password
