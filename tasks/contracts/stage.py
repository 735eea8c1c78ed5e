"""The edge of a stage: its command line, its messages, and outputs that appear whole or not at all."""

import gc
import glob
import logging
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from tasks.contracts.errors import PipelineError
from tasks.contracts.machine_faults import machine_fault, writing

USER_FAULT = 2
TERMINATED = 128 + signal.SIGTERM


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command; its parameters are the options, its module's docstring the manual.

    Exit codes: 0 done, 2 a fault that the user can mend, the machine's among them (one message, no traceback), 143
    stopped by SIGTERM.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    signal.signal(signal.SIGTERM, _stop)
    manual = sys.modules[main.__module__].__doc__ or ""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    # \b keeps click from re-wrapping the manual's trees and examples.
    app.command(help="\n\n".join(f"\b\n{part}" for part in manual.strip().split("\n\n")))(main)
    try:
        app()
    except Exception as error:
        told = machine_fault(error) or (error if isinstance(error, PipelineError) else None)
        if told is None:
            raise
        typer.echo(f"error: {told}", err=True)
        sys.exit(USER_FAULT)
    finally:
        # The last search for garbage would walk every object of torch, a second and more, right before all memory goes.
        gc.freeze()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # SystemExit lets context managers close files and tracking runs; the default handler would not.
    sys.exit(TERMINATED)


@contextmanager
def whole_output(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or folder to; it takes `path`'s place when the block ends well.

    What stood at `path` stays until then. A killed stage leaves at most a hidden leftover, which the next try removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        remove(leftover)
    partial = path.parent / f".{path.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        with writing(path):
            yield partial
            _replace(partial, path)
    finally:
        remove(partial)


def _replace(partial: Path, path: Path) -> None:
    if not path.is_dir():
        partial.replace(path)
        return
    # A folder cannot be replaced in one step: the old one steps aside and goes last.
    old = path.parent / f".{path.name}.partial-old"
    remove(old)
    path.replace(old)
    partial.replace(path)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is below it, whichever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
