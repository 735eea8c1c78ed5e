"""Figures of parse's ledger that a labeller should know of."""

from collections.abc import Iterator

from tasks.checks.findings import Finding
from tasks.contracts.ledger import Ledger

_PLACES_SHOWN = 3


def ledger_findings(ledger: Ledger, max_dropped_share: float) -> Iterator[Finding]:
    """Lost objects by reason (an error if too many), ambiguous images, undeclared labels and lesser notes."""
    lost = {reason: count for reason, count in ledger.dropped.items() if reason not in ledger.intended}
    total = ledger.objects.total - ledger.objects.dropped + sum(lost.values())
    share = sum(lost.values()) / max(1, total)
    for reason, count in lost.items():
        message = f"{count:,} of {total:,} objects dropped: {reason}"
        places = "; ".join(ledger.dropped_examples.get(reason, [])[:_PLACES_SHOWN])
        yield Finding("dropped_objects", "warning", message, value=float(count), where=places or None)
    if share > max_dropped_share:
        message = f"{share:.1%} of all objects could not become boxes, the limit is {max_dropped_share:.1%}"
        yield Finding("dropped_objects", "error", message, value=share)
    if ledger.images.ambiguous:
        message = f"{ledger.images.ambiguous:,} images were left out: several files could be meant"
        places = "; ".join(ledger.ambiguous[:_PLACES_SHOWN])
        yield Finding("ambiguous_images", "warning", message, value=float(ledger.images.ambiguous), where=places)
    if ledger.images.size_mismatches:
        message = f"{ledger.images.size_mismatches:,} images have another size than their labels say; theirs is used"
        places = "; ".join(ledger.size_mismatches[:_PLACES_SHOWN])
        yield Finding("label_size_differs", "note", message, value=float(ledger.images.size_mismatches), where=places)
    if ledger.files_without_labels:
        message = f"{ledger.files_without_labels:,} image files are in no label file"
        yield Finding("files_without_labels", "note", message, value=float(ledger.files_without_labels))
    for label in filter(str.strip, ledger.undeclared_labels):
        yield Finding("undeclared_label", "warning", f'"{label}" is not in the label list of its own file', label=label)
    for reason, count in ledger.ignored.items():
        message = f"{count:,} objects are marked {reason}: they are neither learnt nor counted in figures"
        yield Finding("ignored_objects", "note", message, value=float(count))
    if ledger.clipped:
        message = f"{ledger.clipped:,} boxes went over the border of their image and were cut there"
        yield Finding("clipped_boxes", "note", message, value=float(ledger.clipped))
