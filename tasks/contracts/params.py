"""`params.yaml`: one section per stage, read into that stage's typed class; and the sections that stages share."""

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from tasks.contracts.errors import PipelineError

P = TypeVar("P", bound="Params")
Scalar = str | int | float | bool | None
HIGHEST_SEED = 2**32 - 1  # of numpy
Seed = Annotated[int, Field(ge=0, le=HIGHEST_SEED, description="all randomness of a run comes from it")]
Artefact = Literal["pytorch", "torchscript", "onnx", "openvino-fp32", "openvino-fp16", "openvino-int8", "tensorrt-fp16"]
Target = Literal[Artefact, "champion"]


class Params(BaseModel):
    """A section of `params.yaml`: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tracking(Params):
    """Where runs and models are recorded: shared by tune, train, export (the champion) and publish."""

    uri: str = Field(description="MLflow tracking URI: sqlite:///mlflow.db on one machine, http(s):// for a team")
    experiment: str = Field(description="MLflow experiment, and the registered model's name")
    artifacts: str = Field(
        default="mlartifacts", description="where an embedded store keeps artefacts: a folder or s3://"
    )

    @field_validator("experiment")
    @classmethod
    def _experiment_can_name_a_model(cls, name: str) -> str:
        # The registry's names stand in its URIs and, quoted, in its filters.
        if not re.fullmatch(r"\w([\w .,()@&=+-]*[\w.,()@&=+-])?", name):
            allowed = "begin with a letter or digit, go on with these, spaces and . , _ - + = @ & ( )"
            raise ValueError(f"{name!r} cannot name a model; {allowed}")
        return name


class Releases(Params):
    """Section `publish` as far as releases are looked at: what publish writes, and the champion must agree with."""

    log: Path = Field(
        description="file that gets a line for each release and rollback, JSON; the registry has them too, and one "
        "that does not know the file's lines is refused"
    )
    new_registry: bool = Field(
        default=False, description="the registry begins afresh on purpose, though the log names a champion"
    )
    verify_with: list[Path] = Field(
        default_factory=list,
        description="PEM files of Ed25519 public keys, one of which must have signed what is live; empty: unsigned too",
    )


def read_params(path: Path, section: str, model: type[P]) -> P:
    """Read one section of a `params.yaml`.

    Raises PipelineError naming every wrong key at once.
    """
    value = read_sections(path).get(section, {})
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(_fault(section, fault, model) for fault in error.errors())
        raise PipelineError("params are not valid", f"{path}: {faults}", "Correct them and run again") from error


def section_faults(value: object, section: str, model: type[Params]) -> list[str]:
    """What is wrong with a section's values, one by one."""
    try:
        model.model_validate({} if value is None else value)
    except ValidationError as error:
        return [_fault(section, fault, model) for fault in error.errors()]
    return []


def read_seed(path: Path) -> int:
    """The seed that all randomness of a run comes from."""
    seed = read_sections(path).get("seed")
    if type(seed) is not int:
        raise PipelineError("seed is missing", str(path), "Add a line such as `seed: 7` at its top")
    if not 0 <= seed <= HIGHEST_SEED:
        raise PipelineError(f"seed {seed} cannot be used", str(path), f"Give one from 0 to {HIGHEST_SEED}")
    return seed


def seed_faults(path: Path) -> list[str]:
    """What is wrong with the seed."""
    try:
        read_seed(path)
    except PipelineError as error:
        return error.faults
    return []


def read_releases(path: Path) -> Releases:
    """What of section `publish` the champion must agree with."""

    class Section(Releases):
        model_config = ConfigDict(extra="ignore")

    return read_params(path, "publish", Section)


def read_targets(path: Path) -> list[Target]:
    """The targets that a run exports and evaluates, in the order of `export.targets`."""

    class Section(Params):
        model_config = ConfigDict(extra="ignore")
        targets: list[Target] = Field(min_length=1)

    return read_params(path, "export", Section).targets


def read_rename(path: Path) -> dict[str, str]:
    """`parse.rename`: new names by the labels that have them."""

    class Section(Params):
        model_config = ConfigDict(extra="ignore")
        rename: dict[str, str] = Field(default_factory=dict)

    return read_params(path, "parse", Section).rename


def read_image_size(path: Path) -> int:
    """`train.image_size`, the side of the square that images are fitted into."""

    class Section(Params):
        model_config = ConfigDict(extra="ignore")
        image_size: int = Field(ge=32)

    return read_params(path, "train", Section).image_size


def flat(section: str, params: Params) -> dict[str, Scalar]:
    """A section as `section.name: value`, for lineage and tracking; what is no scalar as JSON."""
    values = params.model_dump(mode="json")
    return {
        f"{section}.{name}": value if isinstance(value, Scalar) else json.dumps(value) for name, value in values.items()
    }


def read_sections(path: Path) -> dict[str, object]:
    """All of a `params.yaml`, as it stands there."""
    try:
        sections = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PipelineError("params file does not exist", str(path), "Pass --params FILE") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PipelineError("params file is not YAML", f"{path}: {error}", "Correct the line that it names") from error
    if not isinstance(sections, dict):
        raise PipelineError("params file has no sections", str(path), "It needs one mapping per stage")
    return dict(sections)


@lru_cache(maxsize=1)
def _parsed(text: str) -> object:
    # A stage asks for several sections one by one.
    return yaml.safe_load(text)


MEASURING = ("seed", "use_case", "evaluate")  # sections that figures depend on


def measuring_sha256(path: Path) -> str:
    """sha256 of the params that figures are taken under, as they stand there: order and layout do not count."""
    sections = read_sections(path)
    text = yaml.safe_dump({name: sections.get(name) for name in MEASURING}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _fault(section: str, fault: ErrorDetails, model: type[BaseModel]) -> str:
    name = ".".join([section, *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        return f"{name} is unknown (known: {', '.join(model.model_fields)})"
    field = model.model_fields.get(str(fault["loc"][0])) if fault["loc"] else None
    if fault["type"] == "missing" and field is not None and field.examples:
        return f"{name} is missing: add `{fault['loc'][0]}: {field.examples[0]}` ({field.description})"
    if fault["type"] == "string_pattern_mismatch" and field is not None:
        # A pattern is no answer to people.
        return f"{name} is {fault['input']!r}; it takes {field.description}"
    return f"{name}: {fault['msg']}"
