"""A machine that refuses: a stage in a copy of a project on a disk of its own, which is full or may not be written."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.needs import lacking

# Nobody else sees the disk, and it goes with the process.
SCRIPT = """
set -e
mount -t tmpfs -o size=100m disk "$DISK"
tar --create --exclude=./.dvc --exclude=./.git --directory "$PROJECT" . | tar --extract --no-same-owner -C "$DISK"
cd "$DISK"
rm -rf $OUTPUTS .work
case $FAULT in
  full) head --bytes="$ROOM" /dev/zero >room; cat /dev/zero >filler 2>/dev/null || rm room ;;
  read-only) mount -o remount,ro "$DISK" ;;
  no-right) chmod -R a-w . ;;
esac
code=0
$WITHOUT_RIGHTS $COMMAND || code=$?
case $FAULT in
  full) rm filler ;;
  read-only) mount -o remount,rw "$DISK" ;;
  no-right) chmod -R u+w . ;;
esac
if [ "$AGAIN" ]; then $COMMAND >again.log 2>&1 || { cat again.log; exit 99; }; fi
find . -name '*partial*' >&2
exit $code
"""
OWN_DISKS = ["unshare", "--user", "--map-root-user", "--mount"]
# Root writes whatever the rights say, but not without this one.
WITHOUT_RIGHTS = "setpriv --bounding-set -dac_override --inh-caps -dac_override"


class Refused(NamedTuple):
    """How a stage ended."""

    code: int  # 99: it failed again, with room and rights
    said: str


def refused(project: Path, disk: Path, stage: str, fault: str, room: int = 0, *, again: bool = False) -> Refused:
    """Run a stage of a finished project, without outputs, where the machine refuses; `again`: then where not.

    fault: full, read-only or no-right. room: bytes that are left on a full disk.
    """
    declared = yaml.safe_load((project / "dvc.yaml").read_text())["stages"][stage]
    outputs = [name for out in [*declared.get("outs", []), *declared.get("metrics", [])] for name in _names(out)]
    words = {
        "DISK": str(disk),
        "PROJECT": str(project),
        "OUTPUTS": " ".join(outputs),
        "COMMAND": declared["cmd"],
        "FAULT": fault,
        "ROOM": str(room),
        "WITHOUT_RIGHTS": WITHOUT_RIGHTS if fault == "no-right" else "",
        "AGAIN": "yes" * again,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    one_target = {name: re.sub(r"\$\{item\.target}", "onnx", word) for name, word in words.items()}
    if subprocess.run([*OWN_DISKS, "true"], check=False, capture_output=True).returncode:
        lacking("disks of its own need user namespaces")
    disk.mkdir(parents=True)
    done = subprocess.run(
        [*OWN_DISKS, "sh", "-c", SCRIPT], env=os.environ | one_target, capture_output=True, text=True, check=False
    )
    return Refused(done.returncode, done.stderr + done.stdout)


def _names(out: str | dict[str, object]) -> list[str]:
    return [out] if isinstance(out, str) else list(out)
