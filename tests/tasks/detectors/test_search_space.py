"""What a search may vary: held to the recipe's params and bounds before a trial is run."""

import math

import pytest

from tasks.contracts.errors import PipelineError
from tasks.detectors.search_space import Range, Space, check_space, own_values
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe

RECIPE = UltralyticsRecipe(lr0=0.002, batch=16)


@pytest.mark.parametrize(
    ("space", "fault"),
    [
        pytest.param({"learning_rate": [0.1]}, "learning_rate is no parameter of ultralytics", id="unknown name"),
        pytest.param({"epochs": [1, 2]}, "epochs is no parameter", id="a param that does not make it better"),
        pytest.param({"lr0": Range(low=0.1, high=2)}, "lr0 2.0: Input should be less", id="beyond the bounds"),
        pytest.param({"batch": Range(low=2.5, high=8)}, "batch wants whole numbers", id="fraction of an image"),
        pytest.param({"batch": Range(low=2, high=8, step=0.5)}, "batch wants whole numbers", id="step of a fraction"),
        pytest.param({"optimizer": Range(low=1, high=2)}, "optimizer wants a list", id="range of names"),
        pytest.param({"optimizer": ["SGD", "Lion"]}, "optimizer 'Lion'", id="unknown choice"),
        pytest.param({"scale": []}, "scale has no choices", id="nothing to choose from"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_with_the_params_that_can(space: Space, fault: str) -> None:
    with pytest.raises(PipelineError) as caught:
        check_space({**space, "mosaic": [7]}, RECIPE)
    assert fault in caught.value.where
    assert "mosaic 7" in caught.value.where
    assert "close_mosaic" in caught.value.hint


def test_a_space_without_params_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"(?s)nothing to search; or set tune\.trials: 0.*lr0"):
        check_space({}, RECIPE)


def test_every_kind_of_param_can_be_searched() -> None:
    check_space(
        {
            "lr0": Range(low=0.001, high=0.1, log=True),
            "batch": Range(low=4, high=16, step=4),
            "optimizer": ["SGD", "AdamW"],
            "cosine": [True, False],
            "model": ["yolo11n.yaml", "yolo26n.pt"],
        },
        RECIPE,
    )


def test_the_recipes_own_values_are_tried_first_where_the_space_holds_them() -> None:
    space: Space = {"lr0": Range(low=0.001, high=0.1), "batch": [4, 8], "optimizer": ["SGD", "AdamW"]}
    assert own_values(space, RECIPE) == {"lr0": 0.002, "optimizer": "AdamW"}


@pytest.mark.parametrize(
    "values",
    [
        {"low": 2, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"low": 0, "high": math.inf},
        {"low": 0, "high": math.nan},
        {"low": 0, "high": 1, "step": math.inf},
    ],
)
def test_a_range_that_is_none_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"below|above|finite"):
        Range.model_validate(values)
