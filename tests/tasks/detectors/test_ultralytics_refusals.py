"""What cannot be trained is said before an epoch, with a hint."""

from pathlib import Path

import pytest
import torch

from tasks.contracts.errors import PipelineError
from tests.fixtures.training import TINY, draw_data, tiny_recipe, train_tiny


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("drawn") / "data")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        pytest.param({"model": "yolo26n.pt"}, "train.allow_download: true", id="weights that may not be fetched"),
        pytest.param({"model": "mine.pt"}, "Give a file that exists", id="weights that nobody has released"),
        pytest.param({"model": "mine.yaml"}, "one of ours (yolo-micro.yaml)", id="architecture that is not there"),
        pytest.param({"model": "yolo11n-seg.yaml"}, "no -seg", id="architecture for another task"),
        pytest.param({"device": "7"}, "Set train.device: auto", id="GPU that is not there"),
    ],
)
def test_what_cannot_be_trained_is_said_with_its_mending(
    changes: dict[str, object], what: str, drawn: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(drawn, weights=str(tmp_path), **changes)
    with pytest.raises(PipelineError) as caught:
        train_tiny(drawn, tmp_path / "work", recipe)
    assert what in caught.value.hint


BROKEN = {
    "empty.yaml": ("", "backbone and a head"),
    "list.yaml": ("- [-1, 1, Conv, [8, 3, 2]]", "backbone and a head"),
    "misspelt.yaml": (TINY.replace("Conv, [8", "Convv, [8"), "Correct the layer that it names"),
    "unfitting.yaml": (TINY.replace("[[2], 1, Detect", "[[7], 1, Detect"), "Correct the layer that it names"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_architecture_that_cannot_be_built_says_what_to_mend(name: str, drawn: Path, tmp_path: Path) -> None:
    text, hint = BROKEN[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(PipelineError, match=name) as caught:
        train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, model=str(tmp_path / name)))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("model", "changes", "hint"),
    [
        pytest.param("tiny.yaml", {"freeze": 100}, "Set train.freeze to 3 or less", id="nothing left to train"),
        pytest.param(
            "tiny.yaml",
            {"image_size": 32, "batch": 8, "effective_batch": 8},
            "train.image_size: 64",
            id="one image left over",
        ),
        pytest.param("tiny-detr.yaml", {"box_gain": 5}, "Leave it out of train and tune.space", id="gain of boxes"),
        pytest.param("tiny-detr.yaml", {"class_balance": 0.5}, "or take a YOLO", id="balance of classes"),
        pytest.param(
            "tiny.yaml", {"device": "0,1", "batch": 1}, "train.batch to a multiple of 2", id="batch of no one"
        ),
        pytest.param("tiny.yaml", {"device": "0,1", "batch": 5}, "train.batch to a multiple of 2", id="uneven batch"),
    ],
)
def test_a_recipe_that_a_model_or_machine_cannot_take_is_refused_before_an_epoch(
    model: str, changes: dict[str, object], hint: str, *, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(PipelineError) as caught:
        train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, model=str(drawn / model), **changes))
    assert hint in caught.value.hint
