"""Which weights may be read at all: those that a family's release page gave us, and those whose sha256 params name.

Reading runs no code of theirs (ultralytics_library); what is in them decides all the same what the model does.
"""

import json
import zipfile
from pathlib import Path

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.whole_output import whole_output
from tasks.detectors.ultralytics_recipe import UltralyticsRecipe

FETCHED = "fetched.json"  # beside the weights: name to sha256, as they came over https


def check_trust(weights: Path, recipe: UltralyticsRecipe) -> None:
    """Raises PipelineError unless the file is a whole archive of torch's, and known."""
    if not zipfile.is_zipfile(weights):
        raise PipelineError(
            "weights cannot be read",
            f"{weights} is no archive as torch has written them since 1.6",
            "Give weights that ultralytics has written, whole: for a pointer of Git LFS, run git lfs pull",
        )
    sha256 = content_sha256(weights)
    if sha256 in recipe.trust or sha256 in _fetched(Path(recipe.weights)).values():
        return
    trusted = f"; train.trust names {', '.join(recipe.trust)}" if recipe.trust else ""
    raise PipelineError(
        "weights are of unknown origin",
        f"train.model: {weights} has sha256 {sha256}{trusted}",
        f"If you know where they come from, set train.trust: {sha256}",
    )


def remember_fetched(weights: Path) -> None:
    """Note the sha256 of weights that were just fetched, so that they count as known from now on."""
    fetched = _fetched(weights.parent) | {weights.name: content_sha256(weights)}
    with whole_output(weights.parent / FETCHED) as partial:
        partial.write_text(json.dumps(fetched, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _fetched(folder: Path) -> dict[str, str]:
    path = folder / FETCHED
    if not path.is_file():
        return {}
    try:
        fetched = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        fetched = None
    if not isinstance(fetched, dict):
        raise PipelineError(
            "list of fetched weights cannot be read", str(path), "Remove it, and name them in train.trust"
        )
    return fetched
