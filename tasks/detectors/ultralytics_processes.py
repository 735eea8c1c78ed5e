"""One training over several GPUs: a process each, started by torch's launcher; this one watches and tells.

python -m tasks.detectors.ultralytics_processes JOB_FILE STAGE_PID   (what the launcher starts)
"""

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psutil

from tasks.contracts.errors import PipelineError
from tasks.contracts.whole_output import whole_output
from tasks.detectors.protocol import Epoch
from tasks.detectors.ultralytics_job import Job
from tasks.detectors.ultralytics_memory import is_out_of_memory
from tasks.detectors.ultralytics_state import read_progress
from tasks.detectors.ultralytics_trainer import train_here
from tasks.execution.work_folder import only_one

JOB = "job.pickle"
LOG = "processes.log"
OUT_OF_MEMORY = "out-of-memory"
FAULT = "fault-of-*.json"  # what, where and the hint, by each process that met it
POLL_SECONDS = 0.5
STOP_SECONDS = 10


def train_in_processes(job: Job, detr: bool, on_epoch: Callable[[Epoch], None]) -> None:
    """Train with one process per GPU of `job.device`.

    Raises the PipelineError that a process raised; what else ends one becomes a RuntimeError with their output.
    """
    for stale in [job.work / OUT_OF_MEMORY, *job.work.glob(FAULT)]:
        stale.unlink(missing_ok=True)
    (job.work / JOB).write_bytes(pickle.dumps((job, detr)))
    told = _finished(job.work)
    count = job.device.count(",") + 1
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    words = [*launcher, "-m", "tasks.detectors.ultralytics_processes", str(job.work / JOB), str(os.getpid())]
    with (job.work / LOG).open("w") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            while process.poll() is None:
                told = _tell(job.work, told, on_epoch)
                time.sleep(POLL_SECONDS)
        finally:
            _stop(process)
    if process.returncode:
        for fault in sorted(job.work.glob(FAULT)):
            raise PipelineError(*json.loads(fault.read_text()))
        reason = job.work / OUT_OF_MEMORY
        raise RuntimeError(reason.read_text() if reason.exists() else (job.work / LOG).read_text())
    _tell(job.work, told, on_epoch)


def _finished(work: Path) -> int:
    progress = read_progress(work)
    return progress.finished if progress else 0


def _tell(work: Path, told: int, on_epoch: Callable[[Epoch], None]) -> int:
    """Tell of the epochs that have been finished since."""
    progress = read_progress(work)
    new = progress.epochs[told:] if progress else []
    for epoch in new:
        on_epoch(epoch)
    return told + len(new)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """The launcher passes a SIGTERM on to its processes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _work(job_file: Path, stage_pid: int) -> None:
    """Train as one of the processes; what ends it is left as a file for the one that started it."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    threading.Thread(target=_end_with, args=(stage_pid,), daemon=True).start()
    job, detr = pickle.loads(job_file.read_bytes())  # noqa: S301
    writer = job.work / "writer"
    writer.mkdir(exist_ok=True)
    try:
        # Processes of a stage that was killed may not be gone yet: whoever writes waits for them.
        with only_one(writer, wait=True) if os.environ["RANK"] == "0" else nullcontext():
            train_here(job, detr, lambda _epoch: None)
    except PipelineError as error:
        with whole_output(job.work / FAULT.replace("*", os.environ["RANK"])) as partial:
            partial.write_text(json.dumps(error.args))
        raise
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            job_file.with_name(OUT_OF_MEMORY).write_text(str(error))
        raise


def _end_with(stage_pid: int) -> None:
    """End this process, and so all of them, when the stage that started them has ended."""
    while psutil.pid_exists(stage_pid):
        time.sleep(POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]))
