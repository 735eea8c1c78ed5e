"""The command `sightline`: each stage by its name, run as `python -m` runs it.

It imports nothing of the stages and is installed without them: the code that runs is that of the current folder, be it
the repository or the workspace of a run.
"""

import ast
import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

USAGE = """Usage: sightline COMMAND [OPTIONS]

Run one stage in the current folder, as python -m tasks.COMMAND does; sightline COMMAND --help is its manual.
`dvc repro` runs all that has changed.
"""
BESIDE = {
    "rollback": 'makes an earlier version live again: sightline rollback 3 --why "misses cracks at night"',
    "sample": "draws the labels of the demo",
}
USER_FAULT = 2


def main() -> NoReturn:
    """Become the Python that runs the stage; without a name, list what there is."""
    name, *options = sys.argv[1:] or ["--help"]
    declared = Path("tasks", "__init__.py")
    if not declared.is_file():
        _refuse(f"no tasks/ in {Path.cwd()}", "Change to the folder of the pipeline, where dvc.yaml is")
    stages = ast.get_docstring(ast.parse(declared.read_text("utf-8"))) or ""
    if name in {"--help", "-h"}:
        beside = "\n".join(f"{command:<9} {meaning}" for command, meaning in BESIDE.items())
        sys.stdout.write(f"{USAGE}\n{stages}\n\nBeside them:\n\n{beside}\n")
        sys.exit()
    known = [*re.findall(r"^(\w+)  ", stages, re.MULTILINE), *BESIDE]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        _refuse(f"no command {name!r}", f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}")
    if name == "rollback":
        name, options = "publish", options if "--help" in options else ["--rollback", *options]
    os.execv(sys.executable, [sys.executable, "-m", f"tasks.{name}", *options])  # noqa: S606  # no shell


def _refuse(what: str, hint: str) -> NoReturn:
    sys.stderr.write(f"error: {what}. {hint}\n")
    sys.exit(USER_FAULT)


if __name__ == "__main__":
    main()
