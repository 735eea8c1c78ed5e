"""`data/annotations/ledger.json`: what became of every object in the label files.

Nothing disappears without a row here.
"""

from pydantic import AliasChoices, Field

from tasks.contracts.record import Record


class ObjectCounts(Record):
    """Objects of some kind. total = kept + converted + dropped."""

    total: int  # read from label files, interpolated frames of tracks included
    kept: int  # plain boxes, as labelled (clipped at the image's border where they went over it)
    converted: int  # other shapes that became their tight box
    dropped: int  # in no table; `Ledger.dropped` has the reasons


class ImageCounts(Record):
    """Images that label files declare. declared = the sum of the fields up to `deleted`."""

    declared: int
    found: int = Field(validation_alias=AliasChoices("found", "held"))  # a file was, readable or not; held: 0.1's name
    missing: int  # no file of that name anywhere below data/raw
    ambiguous: int  # several different files could be meant: none was taken
    superseded: int  # declared again by a newer export, which speaks for them
    skipped: int  # video frames that parse.frame_step leaves out
    deleted: int = 0  # video frames that were deleted in CVAT: no negatives, for their objects went with them
    unreadable: int  # of those found: not an image that can be opened, or one of too many pixels
    too_large: int = 0  # of those unreadable: more pixels than parse.max_megapixels
    size_mismatches: int  # of those found: the label file gives another size than the image has; the image is right
    resized: int = 0  # of size_mismatches: by more than rounding, so that boxes may lie elsewhere
    turned: int = 0  # of size_mismatches: width and height are swapped
    shared: int = 0  # of those found: another image has the same file, which may be the picture of only one of them
    nearly_named: int = 0  # of those found: the only file of nearly that name (case, ending, percent signs)
    empty: int  # in images.parquet without any object: negatives


class ExportLedger(Record):
    """One export below data/raw."""

    formats: list[str]  # e.g. cvat_images; empty for loose images
    objects: ObjectCounts
    images: ImageCounts
    superseded_by: list[str]  # newer exports that took over images of this one
    notes: list[str]  # what the reader left aside, one sentence each
    other_sizes: dict[str, str] = {}  # resized, turned -> the first such image, with both sizes


class Ledger(Record):
    """All counts, and the first few names behind those that a person may want to correct."""

    objects: ObjectCounts
    images: ImageCounts
    shapes: dict[str, ObjectCounts]  # by shape as labelled: box, rotated_box, ellipse, polygon, ..., tag
    labels: dict[str, ObjectCounts]  # by label after parse.rename; declared labels without objects are there with zeros
    lost_labels: dict[str, dict[str, int]] = {}  # those of which every object was dropped: by reason
    undeclared_labels: list[str]  # used by objects, but absent from the label list of their own file
    dropped: dict[str, int]  # by reason
    intended: list[str] = []  # those of the reasons that are no loss: superseded by a newer export, or asked for
    exports: dict[str, ExportLedger]  # by name
    ignored: dict[str, int] = {}  # kept or converted, but neither learnt nor counted in figures: by reason
    max_megapixels: float | None = None  # parse.max_megapixels; null in ledgers of earlier versions
    cut_texts: int = 0  # attributes whose text was longer than parse.max_text_chars
    clipped: int  # kept or converted boxes that went over the image's border
    outside: int  # shapes of tracks that only say "not visible from here": marks, not objects, in no other count
    files_without_labels: int  # image files below data/raw that no label file declares
    missing: list[str]  # first names, as "export: name"
    ambiguous: list[str]
    unreadable: list[str]
    too_large: list[str] = []  # with size and limit
    size_mismatches: list[str]  # with both sizes
    shared: list[str] = []  # with the export of the image that came first
    in_fractions: list[str] = []  # label files all of whose boxes, said to be in pixels, lie within [0, 1]
    nearly_named: list[str] = []  # with the file that was taken
    dropped_examples: dict[str, list[str]]  # reason -> first places, as "export: image, shape, label"
