"""What becomes of label names: renamed, left out, or refused as unknown."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from tasks.contracts.errors import PipelineError, first_of
from tasks.formats.labelled_image import LABEL_DROPPED, LABEL_TOO_LONG, NO_LABEL

_QUOTED = 60  # characters


@dataclass(slots=True)
class LabelRules:
    """The rules, and the unknown labels that have come so far."""

    classes: Sequence[str]  # after renaming; empty: every label is known
    rename: Mapping[str, str]
    drop: Sequence[str]  # after renaming
    max_chars: int = 1000  # of a label, and of an attribute's text
    unknown: dict[str, tuple[int, str]] = field(default_factory=dict)  # label -> objects, first place

    def why_dropped(self, label: str) -> str | None:
        """The reason why objects of this label are in no table, if there is one."""
        if label in self.drop:
            return LABEL_DROPPED
        if len(label) > self.max_chars:
            return LABEL_TOO_LONG
        return None if label else NO_LABEL

    def shown(self, label: str) -> str:
        """The label as it stands in the ledger, which quotes only the beginning of one that is too long."""
        return label if len(label) <= self.max_chars else f"{label[:_QUOTED]}..."

    def is_unknown(self, label: str) -> bool:
        """Whether parse.classes lists labels, and not this one."""
        return bool(self.classes) and label not in self.classes

    def note_unknown(self, label: str, place: str) -> None:
        """Remember an object of an unknown label."""
        count, first = self.unknown.get(label, (0, place))
        self.unknown[label] = (count + 1, first)

    def unmet(self, labels: Collection[str]) -> Iterator[str]:
        """Renames and drops that no label has met; `labels` are all that came, those dropped too, after renaming."""
        unmet = [("parse.rename", label) for label, new in self.rename.items() if self.shown(new) not in labels]
        unmet += [("parse.drop", label) for label in self.drop if self.shown(label) not in labels]
        by_small = {label.casefold(): label for label in labels}
        for param, label in unmet:
            near = get_close_matches(label.casefold(), by_small, n=1)
            nearest = f", the nearest is {by_small[near[0]]!r}" if near else ""
            yield f"{param}: no label is {label!r}{nearest}; nothing came of it"

    def refuse_unknown(self) -> None:
        """Raise PipelineError naming every unknown label that has come, and where it stands."""
        if not self.unknown:
            return
        faults = [
            f"label {label!r}: {count:,} objects, first in {place}"
            for label, (count, place) in sorted(self.unknown.items())
        ]
        raise PipelineError(
            "labels are not known classes",
            f"\n{first_of(faults)}\n",
            f"Known are {', '.join(self.classes)}. Fix them in CVAT, or add them to params.yaml: parse.classes "
            "(or parse.rename, parse.drop)",
        )
