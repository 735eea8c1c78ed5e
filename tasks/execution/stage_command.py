"""The edge of a stage: its command line, its messages, and its exit code."""

import gc
import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType

import typer

from tasks.contracts.errors import PipelineError
from tasks.contracts.machine_faults import machine_fault

USER_FAULT = 2
TERMINATED = 128 + signal.SIGTERM


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command; its parameters are the options, its module's docstring the manual.

    Exit codes: 0 done, 2 a fault that the user can fix, the machine's among them (one message, no traceback), 143
    stopped by SIGTERM.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    sys.unraisablehook = _stop_again
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


def _stop_again(dropped: "sys.UnraisableHookArgs") -> None:
    # Python drops what is raised in a callback of its garbage collection, and the stage would go on.
    if isinstance(dropped.exc_value, SystemExit | KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
    else:
        sys.__unraisablehook__(dropped)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # SystemExit lets context managers close files and tracking runs; the default handler would not.
    sys.exit(TERMINATED)
