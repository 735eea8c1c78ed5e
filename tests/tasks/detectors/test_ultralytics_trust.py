"""Weights and architectures that would run code, or that nobody vouches for, are not taken."""

import os
from pathlib import Path

import pytest
import torch

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.detectors.ultralytics_export import open_network
from tasks.detectors.ultralytics_models import find_start
from tasks.detectors.ultralytics_trust import FETCHED, remember_fetched
from tests.fixtures.bundle import make_bundle
from tests.fixtures.checkpoint import write_checkpoint
from tests.fixtures.training import TINY, draw_data, tiny_recipe, train_tiny


class RunsCode:
    """Makes a folder as it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("genuine") / "trained"
    write_checkpoint(folder, "yolo")
    return folder / "weights.pt"


def write_harmful(where: str, genuine: Path, trace: Path, to: Path) -> Path:
    """A checkpoint with code instead of its network, beside it, or in the middle of it."""
    checkpoint = torch.load(genuine, weights_only=False)
    if where == "network":
        checkpoint = {"model": RunsCode(trace)}
    elif where == "settings":
        checkpoint["train_args"] = {"imgsz": RunsCode(trace)}
    elif where == "layer":
        checkpoint["model"].model[0].harmful = RunsCode(trace)
    elif where == "file":
        checkpoint = RunsCode(trace)
    torch.save(checkpoint, to)
    return to


@pytest.mark.parametrize("where", ["network", "settings", "layer", "file"])
def test_code_in_a_checkpoint_does_not_run_even_if_it_is_trusted(where: str, genuine: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    harmful = write_harmful(where, genuine, trace, tmp_path / "harmful.pt")
    with pytest.raises(PipelineError, match="weights cannot be read"):
        find_start(tiny_recipe(tmp_path, model=str(harmful), trust=content_sha256(harmful)))
    bundle = make_bundle(target="pytorch", artefact=harmful.name)
    with pytest.raises(PipelineError, match="checkpoint cannot be read"):
        open_network(bundle, harmful, None, "cpu")
    assert not trace.exists()


def test_the_forgery_of_these_tests_does_run_where_it_is_unpickled(genuine: Path, tmp_path: Path) -> None:
    torch.load(write_harmful("settings", genuine, tmp_path / "ran", tmp_path / "harmful.pt"), weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("activation: __import__('os').mkdir('{trace}')\n" + TINY, id="activation"),
        pytest.param(TINY.replace("Conv, [8, 3, 2]", "check_requirements, ['harmful']"), id="a function as a layer"),
        pytest.param("nc: !!python/object/apply:os.mkdir ['{trace}']\n" + TINY, id="YAML tag"),
    ],
)
def test_code_in_an_architecture_does_not_run(text: str, tmp_path: Path) -> None:
    drawn, architecture = draw_data(tmp_path / "drawn"), tmp_path / "harmful.yaml"
    architecture.write_text(text.replace("{trace}", str(tmp_path / "ran")))
    with pytest.raises(PipelineError, match=r"cannot build the architecture|architecture is not YAML"):
        train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, model=str(architecture)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("trust", [None, "0" * 64, ["1" * 64, "2" * 64]], ids=["none", "another", "others"])
def test_weights_that_nobody_vouches_for_are_refused_with_their_sha256(
    trust: object, genuine: Path, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=r"of unknown origin.*") as refused:
        find_start(tiny_recipe(tmp_path, model=str(genuine), trust=trust, weights=str(tmp_path)))
    assert refused.value.hint.endswith(f"set train.trust: {content_sha256(genuine)}")
    known = [*(trust if isinstance(trust, list) else []), content_sha256(genuine)]
    assert find_start(tiny_recipe(tmp_path, model=str(genuine), trust=known)).weights == genuine


def test_fetched_weights_that_were_exchanged_since_are_unknown(genuine: Path, tmp_path: Path) -> None:
    held = tmp_path / "yolo26n.pt"
    held.write_bytes(genuine.read_bytes())
    remember_fetched(held)
    recipe = tiny_recipe(tmp_path, model="yolo26n.pt", weights=str(tmp_path))
    assert find_start(recipe).weights == held
    torch.save({"model": None}, held)
    with pytest.raises(PipelineError, match="of unknown origin"):
        find_start(recipe)
    (tmp_path / FETCHED).write_text("[")
    with pytest.raises(PipelineError, match="list of fetched weights cannot be read"):
        find_start(recipe)
