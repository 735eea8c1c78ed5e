"""The full cold pipeline against one plain script that makes the same library calls on the same data.

The plain script trains with the library's own loop, exports with the library's own exporters and validates each
export, with the same images, epochs and trials; INT8 is calibrated on the same images, too. What it does not do (split,
gate, report, registry) is shown apart. Needs the sample that `make demo` draws.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from tasks.dataset.decoding import image_path
from tests.bench.ratios import ENVIRONMENT, Ratio, at_most
from tests.fixtures.repository import REPOSITORY

GOAL = 1.15
SAME_WORK = ("tune", "train", "export", "evaluate")  # what the plain script does too
PLAIN = """
import json, sys
def turn():
    sys.stdin.readline()
def done():
    print("\\ndone", flush=True)

turn()
from tasks.detectors.ultralytics_library import YOLO
import tasks.detectors.ultralytics_nms
settings = json.loads(sys.argv[1])
common = dict(data=settings["data"], imgsz=settings["imgsz"], device="cpu", workers=0, plots=False, verbose=False)
loop = {name: settings[name] for name in ("batch", "nbs", "optimizer", "lr0", "lrf", "warmup_epochs", "close_mosaic")}
loop |= dict(amp=False, cache="ram", warmup_bias_lr=0, pretrained=False, exist_ok=True, project=settings["project"])
for trial in range(settings["trials"]):
    YOLO(settings["model"]).train(epochs=settings["trial_epochs"], name=f"trial{trial}", **common, **loop)
done()

turn()
model = YOLO(settings["model"])
model.train(epochs=settings["epochs"], name="train", **common, **loop)
best = YOLO(model.trainer.best)
done()

turn()
for target in settings["targets"]:
    export = dict(device="cpu", imgsz=settings["imgsz"])
    if target and target.get("quantize") == 8:  # calibrated on all of train, as ours is
        export |= dict(data=settings["data"], split="train")
    artefact = model.trainer.best if target is None else best.export(**export, **target)
    for split in ("val", "test"):
        YOLO(artefact, task="detect").val(split=split, batch=1, rect=False, **common)
done()
"""
TARGETS: dict[str, dict[str, object] | None] = {
    "pytorch": None,
    "torchscript": {"format": "torchscript"},
    "onnx": {"format": "onnx"},
    "openvino-fp32": {"format": "openvino"},
    "openvino-fp16": {"format": "openvino", "quantize": 16},
    "openvino-int8": {"format": "openvino", "quantize": 8},
}


def measure() -> list[Ratio]:
    """Wall seconds; each side runs once, since a run takes minutes, step by step in turn with the other."""
    with tempfile.TemporaryDirectory() as name:
        checkout = Path(name) / "checkout"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(checkout)], check=True)
        shutil.copytree(REPOSITORY / "samples", checkout / "samples")
        stages = _stages(checkout)
        seconds = {stage: _repro(stages[stage], checkout) for stage in ("doctor", "ingest", "parse", "check", "split")}
        settings = json.dumps(_settings(checkout, Path(name)))
        with subprocess.Popen(
            [sys.executable, "-c", PLAIN, settings],
            cwd=REPOSITORY,
            env=_environment(REPOSITORY),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as script:
            plain = 0.0
            for step in (["tune"], ["train"], ["export", "evaluate"]):
                seconds |= {stage: _repro(stages[stage], checkout) for stage in step}
                plain += _next_step(script)
        seconds |= {stage: _repro(names, checkout) for stage, names in stages.items() if stage not in seconds}
    same = sum(seconds[stage] for stage in SAME_WORK)
    everything = sum(seconds.values())
    return [
        at_most(f"cold pipeline's {', '.join(SAME_WORK)} over a plain script", same, plain, GOAL),
        Ratio(
            claim="the whole cold pipeline over that script",
            ours=everything,
            other=plain,
            unit="s",
            ratio=everything / plain,
            goal="shown",
            met=True,
        ),
    ]


def _stages(checkout: Path) -> dict[str, list[str]]:
    """Names of each stage's runs, in pipeline order."""
    listing = subprocess.run(
        ["dvc", "stage", "list", "--name-only"],
        cwd=checkout,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    stages: dict[str, list[str]] = {}
    for name in listing.stdout.split():
        stage, _, target = name.partition("@")
        # The plain script has no champion to pull and measure.
        stages.setdefault("champion" if target == "champion" else stage, []).append(name)
    return stages


def _repro(names: list[str], checkout: Path) -> float:
    started = time.perf_counter()
    subprocess.run(
        ["dvc", "repro", "--single-item", *names],
        cwd=checkout,
        check=True,
        stdout=subprocess.DEVNULL,
        env=_environment(checkout),
    )
    return time.perf_counter() - started


def _next_step(script: "subprocess.Popen[str]") -> float:
    assert script.stdin is not None
    assert script.stdout is not None
    started = time.perf_counter()
    script.stdin.write("\n")
    script.stdin.flush()
    if "done\n" not in script.stdout:
        raise RuntimeError("the plain script failed")
    return time.perf_counter() - started


def _environment(checkout: Path) -> dict[str, str]:
    return ENVIRONMENT | {"PYTHONPATH": str(checkout)}


def _settings(checkout: Path, folder: Path) -> dict[str, object]:
    """The same data in the library's layout, and the same parameters."""
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    train, tune = params["train"], params["tune"]
    return {
        "model": str(REPOSITORY / "tasks" / "detectors" / "architectures" / train["model"]),
        "data": str(_write_dataset(checkout, folder / "plain")),
        "project": str(folder / "runs"),
        "imgsz": train["image_size"],
        "nbs": train["effective_batch"],
        "trials": tune["trials"],
        "trial_epochs": tune["epochs"],
        "targets": [TARGETS[target] for target in params["export"]["targets"] if target in TARGETS],
        **{
            name: train[name]
            for name in ("epochs", "batch", "optimizer", "lr0", "lrf", "warmup_epochs", "close_mosaic")
        },
    }


def _write_dataset(checkout: Path, folder: Path) -> Path:
    tables = checkout / "data" / "annotations"
    split = pd.read_parquet(checkout / "data" / "split.parquet")[["image_id", "split"]]
    images = pd.read_parquet(tables / "images.parquet").merge(split, on="image_id")
    objects = pd.read_parquet(tables / "objects.parquet").merge(images[["image_id", "width", "height"]], on="image_id")
    labels = sorted(objects["label"].unique())
    lines = _label_lines(objects, labels).groupby(objects["image_id"]).agg("\n".join)
    columns = images.loc[images["split"] != "excluded", ["image_id", "split", "file"]].to_numpy(dtype=str)
    for image_id, split_name, file in columns:
        source = image_path(file, checkout / "data" / "raw", tables)
        for kind in ("images", "labels"):
            (folder / kind / split_name).mkdir(parents=True, exist_ok=True)
        (folder / "images" / split_name / f"{image_id}{source.suffix}").symlink_to(source)
        (folder / "labels" / split_name / f"{image_id}.txt").write_text(lines.get(image_id, ""))
    data = {"path": str(folder), "train": "images/train", "val": "images/val", "test": "images/test"}
    (folder / "data.yaml").write_text(yaml.safe_dump(data | {"names": dict(enumerate(labels))}))
    return folder / "data.yaml"


def _label_lines(objects: pd.DataFrame, labels: list[str]) -> pd.Series:
    """The library's text form: class number, then centre and sides relative to the image."""
    relative = pd.DataFrame(
        {
            "class": objects["label"].map(labels.index),
            "x": (objects["x_min"] + objects["x_max"]) / 2 / objects["width"],
            "y": (objects["y_min"] + objects["y_max"]) / 2 / objects["height"],
            "width": (objects["x_max"] - objects["x_min"]) / objects["width"],
            "height": (objects["y_max"] - objects["y_min"]) / objects["height"],
        }
    )
    return relative.astype(str).agg(" ".join, axis=1)
