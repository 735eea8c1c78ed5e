"""Of two bodies of labels of the same images one is read: what is said of the other, and whether it holds more."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.contracts.errors import PipelineError
from tasks.formats.image_paths import base_name, near_name
from tasks.formats.labelled_image import Origin
from tasks.parsing.recognised import Reading, Recognised


def note_of_unread(unread: Recognised, read: Recognised, export: Path) -> str:
    """A sentence on labels that are not read; where they hold more objects of any image, with both counts and a way."""
    inside = unread.path.relative_to(export).as_posix()
    note = f"{inside} ({unread.format}) labels images that are read as {read.format}: it is not read"
    unread_counts, read_counts = _objects(unread, export), _objects(read, export)
    fuller = [image for image in unread.images if unread_counts[image] > read_counts[image]]
    if not fuller:
        return note
    of_both = [sum(of[image] for image in unread.images) for of in (unread_counts, read_counts)]
    return (
        f"{note}, though it holds more objects of {len(fuller):,} of them ({of_both[0]:,} in all, {of_both[1]:,} in "
        f"{read.format}); to read it instead, name the label files of {read.format} in parse.ignore"
    )


def _objects(labels: Recognised, export: Path) -> Counter[str]:
    """Objects by near base name of their image; none behind a fault, which is told when its turn comes to be read."""
    counts: Counter[str] = Counter()
    notes = list(labels.notes)  # a reader adds its own
    with TemporaryDirectory() as scratch:
        reading = Reading(export, "ledger", 1, Path(scratch), "count")
        try:
            for image in labels.read(Origin(labels.format, labels.format), reading):
                counts[image_stem(image.name)] += len(image.objects)
        except PipelineError:
            counts.clear()
    labels.notes[:] = notes
    return counts


def image_stem(name: str) -> str:
    """The near base name of an image, or of the label file that has its name."""
    base = base_name(near_name(name))
    ending = next(filter(base.endswith, (".xml", ".json", ".txt")), "")
    return base.removesuffix(ending)
