"""parse on 100,000 images with 500,000 boxes, against a bare lxml loop that only sums."""

import statistics
import tempfile
from pathlib import Path

from tests.bench.ratios import Ratio, at_most, child_cost

IMAGES = 100_000
BOXES_PER_IMAGE = 5
PEAK_MB = 250.0
BARE_LOOP = """
import sys
from lxml import etree
total = 0.0
for _, element in etree.iterparse(sys.argv[1], tag="image"):
    for box in element:
        total += float(box.get("xtl")) + float(box.get("ytl")) + float(box.get("xbr")) + float(box.get("ybr"))
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]
print(total)
"""


def measure() -> list[Ratio]:
    """CPU seconds of both as children of this process, and the stage's peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = folder / "raw" / "large" / "annotations.xml"
        labels.parent.mkdir(parents=True)
        _write_labels(labels)
        stage = ("-m", "tasks.parse", "--raw", str(folder / "raw"), "--annotations", str(folder / "annotations"))
        ours, bare = [], []
        for _ in range(3):
            ours.append(child_cost(*stage))
            bare.append(child_cost("-c", BARE_LOOP, str(labels)))
    cpu_ours, cpu_bare = (statistics.median(cpu for cpu, _ in costs) for costs in (ours, bare))
    peak_mb = statistics.median(peak for _, peak in ours)
    return [
        at_most("parse 500,000 boxes, CPU over a bare lxml loop", cpu_ours, cpu_bare, 2.0),
        at_most("parse 500,000 boxes, peak memory over the budget", peak_mb, PEAK_MB, 1.0, unit="MB"),
    ]


def _write_labels(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        for image in range(IMAGES):
            file.write(f'  <image id="{image}" name="belt/frame_{image:06d}.jpg" width="1920" height="1080">\n')
            for box in range(BOXES_PER_IMAGE):
                left, top = (image * 7 + box * 311) % 1700, (image * 13 + box * 97) % 900
                file.write(
                    f'    <box label="part_{box}" source="manual" occluded="0" xtl="{left}.25" ytl="{top}.50" '
                    f'xbr="{left + 120}.75" ybr="{top + 80}.00" z_order="0">\n    </box>\n'
                )
            file.write("  </image>\n")
        file.write("</annotations>\n")
