"""What the machine offers a network: its processors, and how its devices are named in params."""

import math
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator


def _number_as_text(device: object) -> object:
    # `device: 0` is a number in YAML.
    return str(device) if type(device) is int else device


Device = Annotated[str, BeforeValidator(_number_as_text)]


def processors(root: Path = Path("/")) -> int:
    """Logical processors that this process may use: in a container often fewer than the machine has.

    root: where /proc and /sys are looked for.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    # Half a processor still runs one thread.
    return min([allowed, *(max(math.ceil(quota), 1) for quota in _cgroup_quotas(root))])


def _cgroup_quotas(root: Path) -> Iterator[float]:
    """Processors' worth of time that the control group of this process, and each one around it, may use."""
    own = root / "proc/self/cgroup"
    # number:controllers:path, with neither number nor controllers in version 2.
    for line in own.read_text().splitlines() if own.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # Within a container the mount may begin at the container's own group, and then nothing lies at the path.
        group = mount / path.strip("/")
        for folder in [group, *group.parents][: len(group.relative_to(mount).parts) + 1]:
            quota, period = _limit_microseconds(folder)
            if quota > 0 and period > 0:
                yield quota / period


def _limit_microseconds(group: Path) -> tuple[int, int]:
    """Quota and period; a quota of 0 or less is none."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        files = [group / name for name in names]
        if all(file.is_file() for file in files):
            quota, period = " ".join(file.read_text() for file in files).split()
            return 0 if quota == "max" else int(quota), int(period)
    return 0, 0


def machine_name() -> str:
    """Processor and system, for people who compare latencies."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else []
    processor = models[0] if models else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} threads, {platform.system()}"
