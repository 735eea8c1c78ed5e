"""Figures of parse's ledger that a labeller should know of."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from tasks.checks.findings import Finding
from tasks.contracts.check_report import Severity
from tasks.contracts.ledger import Ledger

_PLACES_SHOWN = 3
_MOST = 0.5  # of the images of an export
_WHY = {
    "resized": "so boxes may not fit: most likely they were resized or cropped after labelling",
    "turned": "with width and height swapped, so boxes may not fit: most likely EXIF turns the files, and they were "
    "labelled unturned",
}


def ledger_findings(ledger: Ledger, max_dropped_share: float) -> Iterator[Finding]:
    """Lost objects by reason (an error if too many), images whose file is in doubt, and lesser notes on labels."""
    yield from _lost_objects(ledger, max_dropped_share)
    yield from _doubtful_images(ledger)
    yield from _other_sizes(ledger)
    for label in filter(str.strip, ledger.undeclared_labels):
        yield Finding("undeclared_label", "warning", f'"{label}" is not in the label list of its own file', label=label)
    for reason, count in ledger.ignored.items():
        message = f"{count:,} objects are marked {reason}: they are neither learnt nor counted in figures"
        yield Finding("ignored_objects", "note", message, value=float(count))
    if ledger.clipped:
        message = f"{ledger.clipped:,} boxes went over the border of their image and were cut there"
        yield Finding("clipped_boxes", "note", message, value=float(ledger.clipped))


def _lost_objects(ledger: Ledger, max_dropped_share: float) -> Iterator[Finding]:
    lost = {reason: count for reason, count in ledger.dropped.items() if reason not in ledger.intended}
    total = ledger.objects.total - ledger.objects.dropped + sum(lost.values())
    share = sum(lost.values()) / max(1, total)
    for reason, count in lost.items():
        message = f"{count:,} of {total:,} objects dropped: {reason}"
        places = "; ".join(ledger.dropped_examples.get(reason, [])[:_PLACES_SHOWN])
        yield Finding("dropped_objects", "warning", message, value=float(count), where=places or None)
    if share > max_dropped_share:
        message = (
            f"{share:.1%} of all objects were dropped, the limit is {max_dropped_share:.1%}; most: {next(iter(lost))}"
        )
        yield Finding("dropped_objects", "error", message, value=share)
    for file in ledger.in_fractions:
        message = f"all boxes of {file} lie within [0, 1]: fractions of the image, not pixels"
        yield Finding("boxes_in_fractions", "error", message, where=file)


def _doubtful_images(ledger: Ledger) -> Iterator[Finding]:
    if ledger.images.nearly_named:
        message = f"{ledger.images.nearly_named:,} images have a file of nearly their name, which was the only one"
        places = "; ".join(ledger.nearly_named[:_PLACES_SHOWN])
        yield Finding("nearly_named_images", "note", message, value=float(ledger.images.nearly_named), where=places)
    if ledger.images.ambiguous:
        message = f"{ledger.images.ambiguous:,} images were left out: it is not certain which file is meant"
        places = "; ".join(ledger.ambiguous[:_PLACES_SHOWN])
        yield Finding("ambiguous_images", "warning", message, value=float(ledger.images.ambiguous), where=places)
    if ledger.files_without_labels:
        message = f"{ledger.files_without_labels:,} image files are in no label file"
        yield Finding("files_without_labels", "note", message, value=float(ledger.files_without_labels))


def _other_sizes(ledger: Ledger) -> Iterator[Finding]:
    """Images of another size than their labels say: an error where these are most of an export."""
    for name, export in ledger.exports.items():
        counts, decoded = export.images, export.images.found - export.images.unreadable
        are_most = counts.resized + counts.turned > _MOST * decoded
        for kind, count in (("resized", counts.resized), ("turned", counts.turned)):
            if count:
                message = (
                    f"{count:,} of {decoded:,} images of {name} have another size than their labels say "
                    f"({export.other_sizes[kind]}), {_WHY[kind]}"
                )
                severity: Severity = "error" if are_most else "warning"
                yield Finding("label_size_differs", severity, message, value=float(count), where=name)
    slight = ledger.images.size_mismatches - ledger.images.resized - ledger.images.turned
    if slight:
        message = f"{slight:,} images differ by a few pixels from the size that their labels say; theirs is used"
        places = "; ".join(ledger.size_mismatches[:_PLACES_SHOWN])
        yield Finding("label_size_differs", "note", message, value=float(slight), where=places)


def empty_exports(ledger: Ledger, allowed: Sequence[str]) -> Iterator[Finding]:
    """An error for each export none of whose images has an object; allowed: patterns of names where that is meant."""
    for name, export in ledger.exports.items():
        objects, images = export.objects, export.images
        # What a newer export speaks for is counted there.
        is_superseded = images.superseded > 0 and (objects.total > 0 or images.superseded == images.declared)
        if not export.formats or objects.kept + objects.converted or is_superseded:
            continue
        if any(fnmatchcase(name, pattern) for pattern in allowed):
            continue
        why = f"all {objects.dropped:,} of its objects were dropped" if objects.dropped else "it has labels of none"
        message = f"none of the {images.declared:,} images of {name} has an object: {why}"
        yield Finding("export_without_objects", "error", message, value=float(images.declared), where=name)
