"""Writes labelled images as the canonical tables, a bounded number at a time, and counts them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts.tables import BOX, IMAGES, OBJECTS
from tasks.dataset.decoding import image_path, megapixels
from tasks.parsing.identify_images import PlacedImage
from tasks.parsing.image_facts import ImageFacts, image_facts
from tasks.parsing.label_rules import LabelRules
from tasks.parsing.ledger_builder import LedgerBuilder
from tasks.parsing.object_columns import ObjectColumns, arrow_array, object_columns
from tasks.parsing.resolve_images import Ambiguous

_CHUNK_OBJECTS = 8_000  # about what the processor's cache holds
_CHUNK_IMAGES = 2_000
_ROW_GROUP = 25_000
_ROUNDING = 0.02  # of a side: what a codec pads or a tool rounds off moves no box by more
_READERS = 8  # threads that hash files and read headers


class TableWriter:
    """Holds the two Parquet files open. A context manager: leaving it completes them."""

    def __init__(self, raw: Path, annotations: Path, rules: LabelRules, builder: LedgerBuilder) -> None:
        self._raw, self._annotations, self._rules, self._builder = raw, annotations, rules, builder
        self._chunk: list[PlacedImage] = []  # of one label file
        self._chunk_objects = 0
        self._empty: dict[str, str] = {}  # image id -> export
        self.used: dict[str, str] = {}  # file of an image, as in images.parquet -> export of the first that has it

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._pool = self._stack.enter_context(ThreadPoolExecutor(_READERS))
        self._images = self._open("images.parquet", IMAGES, unique=["image_id", "name", "file", "sha256"])
        self._objects = self._open("objects.parquet", OBJECTS, unique=["object_id", *BOX, "points"])
        return self

    def _open(self, name: str, schema: pa.Schema, unique: list[str]) -> "_RowGroups":
        # A dictionary of values that never repeat only costs.
        repeated = [column for column in schema.names if column not in unique]
        file = pq.ParquetWriter(self._annotations / name, schema, compression="zstd", use_dictionary=repeated)
        return _RowGroups(self._stack.enter_context(file))

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            with self._stack:
                if kind is None:
                    self._complete()
        except OSError:
            self._images.give_up()
            self._objects.give_up()
            raise

    def _complete(self) -> None:
        self._write()
        self._images.flush()
        self._objects.flush()
        for export in self._empty.values():
            self._builder.image(export, "empty")

    def add(self, placed: PlacedImage) -> None:
        """Take an image with its objects."""
        if self._chunk and self._chunk[0].label_file is not placed.label_file:
            self._write()
        self._chunk.append(placed)
        self._chunk_objects += len(placed.image.objects)
        if self._chunk_objects >= _CHUNK_OBJECTS or len(self._chunk) >= _CHUNK_IMAGES:
            self._write()

    def _write(self) -> None:
        if not self._chunk:
            return
        chunk, self._chunk, self._chunk_objects = self._chunk, [], 0
        facts = self._facts(chunk)
        sizes = [_size(placed, fact) for placed, fact in zip(chunk, facts, strict=True)]
        self._write_images(chunk, facts, sizes)
        self._write_objects(chunk, sizes)

    def _facts(self, chunk: list[PlacedImage]) -> list[ImageFacts | None]:
        paths = [image_path(one.file, self._raw, self._annotations) for one in chunk if isinstance(one.file, str)]
        found = self._pool.map(image_facts, paths)
        return [self._own(one, next(found)) if isinstance(one.file, str) else None for one in chunk]

    def _own(self, placed: PlacedImage, fact: ImageFacts) -> ImageFacts | None:
        # From another export, a picture of the same name but another size is another picture.
        if placed.is_own or placed.image.width is None or fact.size_wh == (placed.image.width, placed.image.height):
            return fact
        assert isinstance(placed.file, str)
        if placed.is_nearly_named and fact.size_wh is None:
            return fact  # a kind of file that no decoder takes
        placed.file = Ambiguous((placed.file.removeprefix("raw/"),)) if placed.is_nearly_named else None
        return None

    def _write_images(
        self, chunk: list[PlacedImage], facts: list[ImageFacts | None], sizes: list[tuple[int, int]]
    ) -> None:
        new = [
            (placed, fact, size_wh)
            for placed, fact, size_wh in zip(chunk, facts, sizes, strict=True)
            if placed.objects_before is None
        ]
        if not new:
            return
        export = chunk[0].label_file.export
        for kind, count in Counter(self._kind(placed, fact) for placed, fact, _ in new).items():
            self._builder.images[export, kind] += count
        self._builder.images[export, "declared"] += len(new)
        columns: dict[str, list[Any]] = {
            "image_id": [placed.image_id for placed, _, _ in new],
            "name": [placed.image.name for placed, _, _ in new],
            "file": [placed.file if isinstance(placed.file, str) else None for placed, _, _ in new],
            "sha256": [fact.sha256 if fact else None for _, fact, _ in new],
            "width": [width for _, _, (width, _) in new],
            "height": [height for _, _, (_, height) in new],
            "source": [chunk[0].label_file.source] * len(new),
            "subset": [placed.image.subset for placed, _, _ in new],
            "task_id": [placed.image.origin.task_id for placed, _, _ in new],
            "frame": [placed.image.frame for placed, _, _ in new],
            "group": [placed.group for placed, _, _ in new],
            "readable": [self._is_readable(fact) for _, fact, _ in new],
        }
        self._images.add(pa.table([arrow_array(columns[field.name], field) for field in IMAGES], schema=IMAGES))

    def _is_readable(self, fact: ImageFacts | None) -> bool:
        return fact is not None and fact.size_wh is not None and not self._is_too_large(fact.size_wh)

    def _is_too_large(self, size_wh: tuple[int, int]) -> bool:
        limit = self._builder.max_megapixels
        return limit is not None and megapixels(size_wh) > limit

    def _kind(self, placed: PlacedImage, fact: ImageFacts | None) -> str:
        """Whether an image's file was found; what is wrong with it goes to the builder by name."""
        image, export = placed.image, placed.label_file.export
        if isinstance(placed.file, Ambiguous):
            self._builder.name(export, "ambiguous", f"{image.name} ({', '.join(placed.file.files[:3])})")
            return "ambiguous"
        if fact is None or placed.file is None:
            self._builder.name(export, "missing", image.name)
            return "missing"
        if placed.file in self.used:
            self._builder.image(export, "shared")
            self._builder.name(export, "shared", f"{image.name} has the file of an image of {self.used[placed.file]}")
        self.used.setdefault(placed.file, export)
        if placed.is_nearly_named:
            self._builder.image(export, "nearly_named")
            self._builder.name(export, "nearly_named", f"{image.name} is {placed.file.removeprefix('raw/')}")
        if fact.size_wh is None:
            self._builder.image(export, "unreadable")
            self._builder.name(export, "unreadable", image.name)
        elif self._is_too_large(fact.size_wh):
            self._builder.image(export, "unreadable")
            self._builder.image(export, "too_large")
            size = f"{fact.size_wh[0]}x{fact.size_wh[1]}, {megapixels(fact.size_wh):,.0f} megapixels"
            limit = f"parse.max_megapixels is {self._builder.max_megapixels:g}"
            self._builder.name(export, "too_large", f"{image.name} is {size}; {limit}")
        elif image.width is not None and (image.width, image.height) != fact.size_wh:
            self._note_size(export, image.name, (image.width, image.height), fact.size_wh)
        return "found"

    def _note_size(self, export: str, name: str, given: tuple[int, int | None], real: tuple[int, int]) -> None:
        sizes = f"{name} is {real[0]}x{real[1]}, labelled as {given[0]}x{given[1]}"
        self._builder.image(export, "size_mismatches")
        self._builder.name(export, "size_mismatches", sizes)
        factors = [mine / theirs for mine, theirs in zip(real, given, strict=True) if theirs]
        if max(abs(factor - 1) for factor in factors) > _ROUNDING:
            kind = "turned" if given == real[::-1] else "resized"
            self._builder.image(export, kind)
            self._builder.other_sizes[export].setdefault(kind, sizes)

    def _write_objects(self, chunk: list[PlacedImage], sizes: list[tuple[int, int]]) -> None:
        per_image = [0] * len(chunk)
        if any(placed.image.objects for placed in chunk):
            columns = object_columns(chunk, sizes, self._rules)
            self._builder.count(chunk[0].label_file.export, columns.shapes, columns.labels, columns.faults)
            self._builder.clipped += columns.clipped
            self._builder.ignored.update(columns.ignored)
            self._builder.cut_texts += columns.cut_texts
            self._note(chunk, columns)
            self._objects.add(columns.table)
            self._note_furthest(chunk[0], columns.table)
            per_image = columns.per_image
        for placed, count in zip(chunk, per_image, strict=True):
            if count:
                # Its label file may have listed it before, without objects.
                self._empty.pop(placed.image_id, None)
            elif placed.objects_before is None:
                self._empty[placed.image_id] = placed.label_file.export

    def _note_furthest(self, placed: PlacedImage, table: pa.Table) -> None:
        if len(table) and not placed.image.relative:
            file = placed.label_file.path.relative_to(self._raw).as_posix()
            furthest = max(pc.max(table[side]).as_py() for side in ("x_max", "y_max"))
            self._builder.furthest[file] = max(furthest, self._builder.furthest.get(file, 0.0))

    def _note(self, chunk: list[PlacedImage], columns: ObjectColumns) -> None:
        def place(row: int) -> str:
            placed = chunk[columns.owners[row]]
            return f"{placed.label_file.export}: {placed.image.name}, {columns.shapes[row]}, {columns.labels[row]}"

        for row, reason in columns.faults.items():
            self._builder.example(reason, place(row))
        unknown = {label for label in set(columns.labels) if self._rules.is_unknown(label)}
        for row, label in enumerate(columns.labels) if unknown else ():
            if label in unknown and row not in columns.faults:
                placed = chunk[columns.owners[row]]
                self._rules.note_unknown(label, f"{placed.label_file.path}, image {placed.image.name}")


class _RowGroups:
    """Gathers rows until they are worth a group of their own: small groups cost more than their rows."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(map(len, self._tables)) >= _ROW_GROUP:
            self.flush()

    def give_up(self) -> None:
        # Else a file that could not be closed is closed once more when it is collected, and complains again.
        self._file.is_open = False

    def flush(self) -> None:
        if self._tables:
            self._file.write_table(pa.concat_tables(self._tables))
            self._tables = []


def _size(placed: PlacedImage, fact: ImageFacts | None) -> tuple[int, int]:
    # The image is right about its own size; 0 stands for unknown.
    if fact is not None and fact.size_wh is not None:
        return fact.size_wh
    return placed.image.width or 0, placed.image.height or 0
