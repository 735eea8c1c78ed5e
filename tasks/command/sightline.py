"""The command `sightline`: each stage by its name, run as `python -m` runs it.

It imports nothing of the stages and is installed without them: the code that runs is that of the current folder, be it
the repository or the workspace of a run.
"""

import ast
import os
import re
import sys
from pathlib import Path

import typer

BESIDE = {
    "rollback": "beside the stages: makes an earlier version live again",
    "sample": "beside the stages: draws the labels of the demo",
}
USER_FAULT = 2


def main() -> None:
    """Become the Python that runs the stage; without a name, list what there is."""
    declared = Path("tasks", "__init__.py")
    if not declared.is_file():
        typer.echo(
            f"error: no tasks/ in {Path.cwd()}. Change to the folder of the pipeline, where dvc.yaml is", err=True
        )
        sys.exit(USER_FAULT)
    stages = ast.get_docstring(ast.parse(declared.read_text("utf-8"))) or ""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Run one stage in the current folder, as `python -m tasks.STAGE` does; `dvc repro` runs all that changed.",
    )
    as_it_comes = {"ignore_unknown_options": True, "allow_extra_args": True}  # the stage reads its options itself
    for name, meaning in {**dict(re.findall(r"^(\w+)  +(.+)", stages, re.MULTILINE)), **BESIDE}.items():
        app.command(name, help=meaning, add_help_option=False, context_settings=as_it_comes)(_become)
    app()


def _become(context: typer.Context) -> None:
    name, options = context.info_name, context.args
    if name == "rollback":
        if options and options[0].startswith("-"):  # the version stands last
            options = [options[-1], *options[:-1]]
        name, options = "publish", options if "--help" in options else ["--rollback", *options]
    os.execv(sys.executable, [sys.executable, "-m", f"tasks.{name}", *options])  # noqa: S606  # no shell


if __name__ == "__main__":
    main()
