"""Counts what becomes of every object and image, and makes the ledger of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from tasks.contracts.ledger import ExportLedger, ImageCounts, Ledger, ObjectCounts
from tasks.formats.labelled_image import DELETED, FRAME_SKIPPED, LABEL_DROPPED, SUPERSEDED, LabelFile

KEPT, CONVERTED = "kept", "converted"  # every other outcome of an object is a reason why it was dropped
ON_PURPOSE = (FRAME_SKIPPED, LABEL_DROPPED, DELETED)
_SHOWN = 50  # names per list
_EXAMPLES = 5  # places per reason
_FRACTION = 1.01  # rounded

Fate = tuple[str, str, str, str]  # export, shape, label, outcome


class LedgerBuilder:
    """One count per kind of object and per kind of image; all tables of the ledger are sums of these."""

    def __init__(self, max_megapixels: float | None = None) -> None:
        self.max_megapixels = max_megapixels
        self.objects: Counter[Fate] = Counter()
        self.images: Counter[tuple[str, str]] = Counter()  # export, field of ImageCounts
        self.names: dict[str, list[str]] = defaultdict(list)  # field of Ledger -> "export: name"
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.formats: dict[str, set[str]] = defaultdict(set)
        self.notes: dict[str, list[str]] = defaultdict(list)
        self.other_sizes: dict[str, dict[str, str]] = defaultdict(dict)  # by export, as in ExportLedger
        self.superseded_by: dict[str, set[str]] = defaultdict(set)
        self.declared_labels: dict[str, set[str]] = defaultdict(set)  # by export
        self.furthest: dict[str, float] = {}  # label file -> greatest coordinate of its boxes, where it has pixels
        self.ignored: Counter[str] = Counter()
        self.clipped = 0
        self.cut_texts = 0
        self.outside = 0
        self.files_without_labels = 0

    def label_files(
        self, label_files: Iterable[LabelFile], rename: Mapping[str, str], shown: Callable[[str], str] = str
    ) -> None:
        """Note what label files say of themselves, after they have been read; `shown` cuts labels that are too long."""
        for file in label_files:
            self.formats[file.export].add(file.format)
            self.notes[file.export].extend(file.notes)
            self.declared_labels[file.export].update(shown(rename.get(label, label)) for label in file.labels)

    def count(self, export: str, shapes: Sequence[str], labels: Sequence[str], faults: Mapping[int, str]) -> None:
        """Count objects; `faults` are the rows of those dropped, with the reason."""
        for (shape, label), count in Counter(zip(shapes, labels, strict=True)).items():
            self.objects[export, shape, label, _outcome(shape)] += count
        for row, reason in faults.items():
            self.objects[export, shapes[row], labels[row], _outcome(shapes[row])] -= 1
            self.objects[export, shapes[row], labels[row], reason] += 1

    def image(self, export: str, what: str) -> None:
        """Add one to a field of an export's `ImageCounts`."""
        self.images[export, what] += 1

    def name(self, export: str, what: str, name: str) -> None:
        """Remember an image for people."""
        if len(self.names[what]) < _SHOWN:
            self.names[what].append(f"{export}: {name}")

    def example(self, reason: str, place: str) -> None:
        """Remember where an object was dropped."""
        if len(self.examples[reason]) < _EXAMPLES:
            self.examples[reason].append(place)

    def ledger(self, exports: Iterable[str]) -> Ledger:
        """The ledger; every object and image that was read is in it."""
        labels = self._by(lambda fate: fate[2])
        dropped = self._dropped()
        declared = {label for known in self.declared_labels.values() for label in known}
        return Ledger(
            objects=_counts(self.objects.items()),
            images=self._image_counts(None),
            shapes=self._by(lambda fate: fate[1]),
            labels={label: labels.get(label, _counts([])) for label in sorted(declared | labels.keys())},
            lost_labels=self._lost_labels(),
            undeclared_labels=self._undeclared(),
            dropped=dropped,
            intended=[reason for reason in dropped if reason in ON_PURPOSE or reason.startswith(SUPERSEDED)],
            exports={export: self._export(export) for export in sorted(exports)},
            ignored=dict(sorted(self.ignored.items())),
            max_megapixels=self.max_megapixels,
            cut_texts=self.cut_texts,
            clipped=self.clipped,
            outside=self.outside,
            files_without_labels=self.files_without_labels,
            missing=self.names["missing"],
            ambiguous=self.names["ambiguous"],
            unreadable=self.names["unreadable"],
            too_large=self.names["too_large"],
            size_mismatches=self.names["size_mismatches"],
            shared=self.names["shared"],
            in_fractions=sorted(file for file, furthest in self.furthest.items() if furthest <= _FRACTION),
            nearly_named=self.names["nearly_named"],
            dropped_examples=dict(sorted(self.examples.items())),
        )

    def _by(self, key: Callable[[Fate], str]) -> dict[str, ObjectCounts]:
        parts: dict[str, list[tuple[Fate, int]]] = defaultdict(list)
        for fate, count in self.objects.items():
            parts[key(fate)].append((fate, count))
        return {name: _counts(part) for name, part in sorted(parts.items())}

    def _undeclared(self) -> list[str]:
        # Formats and files without a label list declare nothing that could be missed.
        known = self.declared_labels
        return sorted({label for export, _, label, _ in self.objects if known[export] and label not in known[export]})

    def _lost_labels(self) -> dict[str, dict[str, int]]:
        reasons: dict[str, Counter[str]] = defaultdict(Counter)
        for (_, _, label, outcome), count in self.objects.items():
            reasons[label][outcome] += count
        return {
            label: dict((+of_label).most_common())
            for label, of_label in sorted(reasons.items())
            if not of_label[KEPT] + of_label[CONVERTED]
        }

    def _dropped(self) -> dict[str, int]:
        reasons: Counter[str] = Counter()
        for (_, _, _, outcome), count in self.objects.items():
            if outcome not in (KEPT, CONVERTED):
                reasons[outcome] += count
        return dict(reasons.most_common())

    def _export(self, export: str) -> ExportLedger:
        return ExportLedger(
            formats=sorted(self.formats[export]),
            objects=_counts((fate, count) for fate, count in self.objects.items() if fate[0] == export),
            images=self._image_counts(export),
            superseded_by=sorted(self.superseded_by[export]),
            notes=self.notes[export],
            other_sizes=self.other_sizes[export],
        )

    def _image_counts(self, export: str | None) -> ImageCounts:
        totals = {
            what: sum(count for (of, kind), count in self.images.items() if kind == what and export in (None, of))
            for what in ImageCounts.model_fields
        }
        counts = ImageCounts(**totals)
        left_out = counts.superseded + counts.skipped + counts.deleted
        placed = counts.found + counts.missing + counts.ambiguous + left_out
        assert counts.declared == placed, f"images do not add up: {counts}"
        return counts


def _outcome(shape: str) -> str:
    return KEPT if shape == "box" else CONVERTED


def _counts(fates: Iterable[tuple[Fate, int]]) -> ObjectCounts:
    outcomes: Counter[str] = Counter()
    for (_, _, _, outcome), count in fates:
        outcomes[outcome if outcome in (KEPT, CONVERTED) else "dropped"] += count
    return ObjectCounts(
        total=outcomes.total(), kept=outcomes[KEPT], converted=outcomes[CONVERTED], dropped=outcomes["dropped"]
    )
