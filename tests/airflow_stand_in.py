"""A repository with stages of the same names that do next to nothing, so that orchestration is tested in seconds."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]

# Each stage notes in its workspace when it began and when it ended of its own will, so that tests see what ran, how
# often, and whether it was killed.
STAGE = '''"""Stands in for {name}."""

import atexit, json, pathlib, signal, sys, time, uuid
import yaml

params = yaml.safe_load(open("params.yaml"))
process = uuid.uuid4().hex

def note(event):
    with open("journal.txt", "a") as file:
        file.write(json.dumps(["{name}", event, process, time.time()]) + "\\n")

def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

out = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
atexit.register(note, "end")
note("start")
{body}
for path in map(pathlib.Path, out):
    if not path.exists():
        write(path if path.suffix else path / "out.txt", json.dumps(params["seed"]))
'''

BODIES = {
    "doctor": """
write(out[0], "{}")
for target in ("pytorch", "torchscript", "onnx", "openvino-fp32", "openvino-fp16", "openvino-int8", "champion"):
    listed = params["export"]["targets"] if target == "champion" else []
    write(pathlib.Path(out[1]) / f"{target}.json", json.dumps(listed))
""",
    "ingest": """
held = pathlib.Path("data/raw/held.txt")
seen = held.read_text().split() if held.is_file() else []
source = pathlib.Path(params["ingest"]["source"])
write(held, "\\n".join(sorted({*seen, *(file.name for file in source.iterdir())})))
""",
    "parse": """
if params["parse"]["points"] == "wrong":
    print("error: parse.points cannot be wrong: params.yaml. Choose one", file=sys.stderr)
    sys.exit(2)
write("data/annotations/names.txt", pathlib.Path("data/raw/held.txt").read_text())
""",
    "split": """
split = pathlib.Path("data/split.parquet")
sides = json.loads(split.read_text()) if split.is_file() else {}
for name in pathlib.Path("data/annotations/names.txt").read_text().split():
    sides.setdefault(name, len(sides))
write(split, json.dumps(sides))
write("reports/leakage.json", "{}")
""",
    "tune": """
study = pathlib.Path(params["tune"]["storage"] or ".work/tune/study.txt")
study.parent.mkdir(parents=True, exist_ok=True)
with study.open("a") as file:
    file.write(process + "\\n")
write(out[-1] + "/trials.json", json.dumps(len(study.read_text().split())))
""",
    # Goes on from its last epoch, as the real one does.
    "train": """
done = pathlib.Path(".work/train/epochs.txt")
done.parent.mkdir(parents=True, exist_ok=True)
first = len(done.read_text().split()) if done.is_file() else 0
for epoch in range(first, params["train"]["epochs"]):
    print("epoch", epoch, flush=True)
    time.sleep(0.2)
    with done.open("a") as file:
        file.write(f"{epoch}:{process}\\n")
write(out[0] + "/weights.txt", str(params["train"]["lr0"]))
write(out[0] + "/card.json", json.dumps({"experiment_id": "1", "run_id": "abc"}))
""",
    "gate": """
targets = params["export"]["targets"]
accepted = "impossible" not in params["gate"]["rules"]
outcome = "accepted" if accepted else "rejected"
rule = {"rule": "map50 >= 0.6", "outcome": outcome, "reason": "map50 is 0.4, short by 0.2"}
write(out[0], json.dumps({
    "accepted": accepted, "outcome": outcome, "target": params["use_case"]["target"], "reason": "map50 decides",
    "released": targets if accepted else [],
    "targets": {name: {"outcome": outcome, "rules": [rule]} for name in targets},
}))
""",
    "report": 'write(out[0], "<h1>report</h1>")',
    "publish": """
if not json.loads(pathlib.Path("reports/verdict.json").read_text())["accepted"]:
    print("error: rejected: map50 is 0.4, short by 0.2", file=sys.stderr)
    sys.exit(2)
write(out[0], json.dumps({"model": "sightline", "version": "1"}))
""",
}
TARGET = "${item.target}"


def declarations() -> dict[str, object]:
    """A dvc.yaml of the real stages and edges, with the stand-ins' short commands."""
    real = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"]
    stages = {}
    for name, stage in real.items():
        declared = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
        outs = " ".join(next(iter(out)) if isinstance(out, dict) else out for out in declared)
        matrix = f" --target={TARGET}" if "matrix" in stage else ""
        command = f"python -m tasks.{name} {outs}{matrix}"
        deps = [dep for dep in stage["deps"] if not str(dep).startswith("tasks/")]
        kept = {key: stage[key] for key in ("desc", "matrix", "params", "outs", "metrics", "plots") if key in stage}
        stages[name] = {**kept, "cmd": command, "deps": [*deps, f"tasks/{name}.py"]}
    return {"stages": stages}


def make_repository(path: Path) -> Path:
    """A committed repository at `path` with the real DAGs, params and start script, and stages that stand in."""
    for folder in ("dags", "docker/airflow"):
        shutil.copytree(REPOSITORY / folder, path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (".gitignore", ".dvcignore"):
        shutil.copy(REPOSITORY / file, path / file)
    (path / ".gitignore").write_text((REPOSITORY / ".gitignore").read_text() + "/.remote/\n/journal.txt\n")
    # Two targets are as good as seven when it comes to mapped tasks.
    params = re.sub(r"(?m)^  targets: .*$", "  targets: [pytorch, onnx]", (REPOSITORY / "params.yaml").read_text())
    (path / "params.yaml").write_text(params.replace("target: openvino-int8", "target: onnx"))
    (path / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc" / ".gitignore", path / ".dvc" / ".gitignore")
    remote = path / ".remote"
    config = (REPOSITORY / ".dvc" / "config").read_text().replace("[core]", "[core]\n    remote = storage")
    (path / ".dvc" / "config").write_text(f"{config}['remote \"storage\"']\n    url = {remote}\n")
    names = list(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"])
    (path / "tasks").mkdir()
    for name in names:
        body = BODIES.get(name, "")
        (path / "tasks" / f"{name}.py").write_text(STAGE.replace("{name}", name).replace("{body}", body))
    (path / "dvc.yaml").write_text(yaml.safe_dump(declarations(), sort_keys=False))
    (path / "samples").mkdir()
    (path / "samples" / "belt.zip").write_text("labels")
    commit(path, "Stand in")
    return path


def commit(path: Path, message: str) -> None:
    """Commit all that Git does not ignore."""
    if not (path / ".git").is_dir():
        git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", "--all")
    git(path, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "--quiet", "--message", message)


def git(path: Path, *arguments: str) -> str:
    """What a git command prints."""
    return subprocess.run(["git", *arguments], cwd=path, check=True, capture_output=True, text=True).stdout.strip()
