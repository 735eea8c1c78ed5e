"""A team's own suites of expectations: files as Great Expectations writes them (JSON), or Python that makes them.

A Python file runs as a script does, and each ExpectationSuite that its top level names is taken. See docs/checks.md.
"""

import json
import re
import runpy
import sys
import traceback
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from tasks.contracts.errors import PipelineError, first_of

if TYPE_CHECKING:
    from tasks.checks.library import gx, gxe

HINT = "Correct the suite; docs/checks.md has an example and the tables with their columns"
OUR_SUITES = ("images", "objects", "dataset")
_SUFFIXES = (".py", ".json")  # in this order: suites in JSON may use expectations that a Python file defines
_NAME = re.compile(r"[\w-]+")  # becomes a part of paths and of the names of rules


def _named(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is empty; name a file or a folder, in which there may be no suite")
    return value


# An empty text would be the current folder, whose every Python file would be run.
SuitesPath = Annotated[Path, BeforeValidator(_named)]


class TeamSuite(NamedTuple):
    """A suite, the file that it came from and the table that it is about."""

    file: Path
    table: str
    suite: "gx.ExpectationSuite"


def team_suites(path: Path) -> list[TeamSuite]:
    """The suites of a file, or of all files in a folder; none is no fault.

    Raises PipelineError with all that cannot be used.
    """
    suites, faults = _read(path)
    if faults:
        raise PipelineError("suites cannot be used", f"{path}\n{first_of(faults)}\n", HINT)
    return suites


def suite_faults(path: Path) -> list[str]:
    """What cannot be used of the suites, a line each. Great Expectations is imported only where there are any."""
    return _read(path)[1]


def _read(path: Path) -> tuple[list[TeamSuite], list[str]]:
    if not path.exists():
        return [], [f"{path} does not exist: name a file or a folder of suites, which may be empty"]
    if path.is_file() and path.suffix not in _SUFFIXES:
        return [], [f"{path} is no suite: its name ends neither in .json nor in .py"]
    files = [path] if path.is_file() else [file for suffix in _SUFFIXES for file in sorted(path.rglob(f"*{suffix}"))]
    suites: list[TeamSuite] = []
    faults = [
        f"{link}: a linked folder is not looked into; put its files here, or name it in check.suites"
        for link in sorted(path.rglob("*"))
        if link.is_symlink() and link.is_dir()
    ]
    taken = {*OUR_SUITES}
    for file in files:
        if file.suffix == ".py" and file.name.startswith("_"):
            continue  # what others import
        found, wrong = _suites_of(file)
        for one in found:
            if one.suite.name in taken:
                wrong.append(f"the name {one.suite.name!r} is taken")
            taken.add(one.suite.name)
        suites += found
        faults += [f"{file}: {fault}" for fault in wrong]
    return suites, faults


def _suites_of(file: Path) -> tuple[list[TeamSuite], list[str]]:
    """The suites of one file, and what is wrong with it."""
    try:
        written = _of_json(file) if file.suffix == ".json" else _of_python(file)
    except _UnusableError as unusable:
        return [], [str(unusable)]
    faults = [fault for suite in written for fault in _faults(suite)]
    return [TeamSuite(file, suite.meta["table"], suite) for suite in written] if not faults else [], faults


class _UnusableError(Exception):
    """Why no suite can be made of a file."""


def _of_json(file: Path) -> "list[gx.ExpectationSuite]":
    from tasks.checks.library import gx  # noqa: PLC0415

    try:
        written = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _UnusableError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _UnusableError(f"is no JSON: {error}") from error
    if not isinstance(written, dict) or not isinstance(written.get("expectations"), list) or "name" not in written:
        raise _UnusableError(
            "is no suite, which has `name` and `expectations`; save it with Great Expectations 1.0 or later"
        )
    if not isinstance(written.get("meta", {}), dict):
        raise _UnusableError('its `meta` is no mapping; it has the table, such as {"table": "images"}')
    # The library's own reading of a suite leaves out what it does not know, and says so in its log only.
    made = [_expectation(entry, number) for number, entry in enumerate(written["expectations"], 1)]
    parts = {name: written[name] for name in ("meta", "notes", "suite_parameters") if name in written}
    try:
        return [gx.ExpectationSuite(name=written["name"], expectations=made, **parts)]
    except Exception as error:  # as above
        raise _UnusableError(_one_line(error)) from error


def _expectation(entry: Any, number: int) -> "gxe.Expectation":
    from tasks.checks.library import ExpectationConfiguration, ExpectationNotFoundError, gxe  # noqa: PLC0415

    where = f"expectation {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise _UnusableError(f"{where} has no `type`, such as expect_column_values_to_not_be_null")
    kind = entry["type"]
    try:
        fields = {name: value for name, value in entry.items() if name not in {"id", "rendered_content"}}
        return ExpectationConfiguration(**fields).to_domain_obj()
    except ExpectationNotFoundError as error:
        known = [_snake(name) for name in dir(gxe) if name.startswith("Expect") and name != "Expectation"]
        raise _UnusableError(f"{where}, {kind}, is unknown{_nearest(kind, known)}") from error
    except Exception as error:  # the library raises its own, pydantic's and plain ones
        raise _UnusableError(f"{where}, {kind}: {_one_line(error)}") from error


def _of_python(file: Path) -> "list[gx.ExpectationSuite]":
    from tasks.checks.library import gx, gxe  # noqa: PLC0415

    gx.get_context(mode="ephemeral")  # without a context suites take no expectation once they are made
    sys.path.insert(0, str(file.parent))  # as a script has it
    try:
        names = runpy.run_path(str(file))
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(sys.exc_info()[2]) if frame.filename == str(file)]
        if isinstance(error, SyntaxError):
            lines = [error.lineno]
        line = f"line {lines[-1]} raises " if lines else "raises "
        raise _UnusableError(f"{line}{type(error).__name__}: {_one_line(error)}") from error
    finally:
        sys.path.remove(str(file.parent))
    suites = {id(value): value for value in names.values() if isinstance(value, gx.ExpectationSuite)}
    defines = any(
        isinstance(value, type) and issubclass(value, gxe.Expectation) and value.__module__ == names["__name__"]
        for value in names.values()
    )
    if not suites and not defines:
        raise _UnusableError(
            "no name at its top level is an ExpectationSuite; name a file that others import _like_this.py"
        )
    return [*suites.values()]


def _faults(suite: "gx.ExpectationSuite") -> Iterator[str]:
    columns = columns_of_tables()
    table = suite.meta.get("table") if isinstance(suite.meta, dict) else None
    if not _NAME.fullmatch(suite.name):
        yield f"the name {suite.name!r} has other characters than letters, digits, _ and -"
    if not isinstance(table, str) or table not in columns:
        yield f"suite {suite.name}: its meta has the table {table!r}, choose of {', '.join(columns)}"
        return
    for number, expectation in enumerate(suite.expectations, 1):
        configuration = expectation.configuration
        for column in sorted(_columns_named(configuration.to_json_dict()["kwargs"]) - {*columns[table]}):
            nearest = _nearest(column, columns[table])
            yield f"expectation {number}, {configuration.type}: {table} has no column {column!r}{nearest}"


def columns_of_tables() -> dict[str, list[str]]:
    """The columns that expectations may be about, by table."""
    import pandas as pd  # noqa: PLC0415

    from tasks.checks.image_measures import ImageMeasures  # noqa: PLC0415
    from tasks.checks.judged_tables import judged_tables  # noqa: PLC0415
    from tasks.contracts.tables import IMAGES, OBJECTS  # noqa: PLC0415

    images, objects = (schema.empty_table().to_pandas() for schema in (IMAGES, OBJECTS))
    tables = judged_tables(images, objects, pd.DataFrame(columns=ImageMeasures._fields))
    return {name: [*table.columns] for name, table in tables._asdict().items()}


def _columns_named(arguments: dict[str, Any]) -> set[str]:
    """The columns that an expectation's arguments name, those of its conditions included."""
    named = {arguments[key] for key in ("column", "column_A", "column_B") if key in arguments}
    condition = arguments.get("row_condition")
    return named.union(
        arguments.get("column_list", []), _of_condition(condition if isinstance(condition, dict) else {})
    )


def _of_condition(condition: dict[str, Any]) -> set[str]:
    own = {condition["column"]["name"]} if "column" in condition else set()
    return own.union(*map(_of_condition, condition.get("conditions", [])))


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; the nearest is {near[0]}" if near else ""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _one_line(error: BaseException) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
