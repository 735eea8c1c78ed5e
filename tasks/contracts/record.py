"""JSON files that stages hand to each other: typed, strict, written whole."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.contracts.errors import PipelineError
from tasks.contracts.whole_output import whole_output

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """The content of one JSON file."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


def read_record(path: Path, model: type[R]) -> R:
    """Read a record.

    Raises PipelineError if the file is missing or not of this form.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise PipelineError("file does not exist", str(path), "Run the stage that writes it") from error
    except ValidationError as error:
        raise PipelineError(
            "file is not of the form this version writes", f"{path}: {error.errors()[0]['msg']}", "Run its stage again"
        ) from error


def write_record(record: Record, path: Path) -> None:
    """Write a record whole or not at all, indented for people and diffs."""
    with whole_output(path) as partial:
        partial.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
