"""From exports to tables and a ledger."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.errors import PipelineError
from tasks.contracts.ledger import Ledger, ObjectCounts
from tasks.contracts.record import read_record
from tasks.dataset.decoding import image_path, read_image
from tasks.formats.labelled_image import (
    FRAME_SKIPPED,
    INVERTED,
    LABEL_DROPPED,
    NO_AREA,
    NO_LABEL,
    NO_PLACE,
    OUTSIDE_IMAGE,
    POINTS_ALONE,
)
from tasks.parse import main
from tests.fixtures.cvat import BOX, box, document, image, task_meta, track, track_box, video_meta, write
from tests.fixtures.parse import run, write_image
from tests.fixtures.repository import REPOSITORY


def test_every_kind_of_object_is_in_a_table_or_in_the_ledger_with_its_reason(tmp_path: Path) -> None:
    shapes = [
        BOX,
        box(more='rotation="45"'),
        '<ellipse label="car" cx="50" cy="40" rx="20" ry="10" rotation="30"/>',
        '<polygon label="car" points="1,2;5,1;4,9"/>',
        '<polyline label="car" points="1,2;5,9"/>',
        '<polyline label="car" points="1,2;5,2"/>',
        '<points label="car" points="1,2;5,9"/>',
        '<mask label="car" rle="4, 1, 4" left="7" top="3" width="3" height="3"/>',
        '<skeleton label="car"><points label="a" outside="0" points="1,1"/><points label="b" points="5,5"/></skeleton>',
        '<tag label="car"/>',
        box("van"),
        box(""),
        box("bus"),
        box(xtl=30, xbr=10),
        box(xbr=10),
        box(xtl=-5, xbr=130),
        box(xtl=200, xbr=230),
        box(xtl=float("nan")),
        box(xtl=0, ytl=0, xbr=100, ybr=80),
    ]
    write(
        tmp_path / "raw" / "annotations.xml", document(image("a.jpg", *shapes), meta=task_meta(labels=("car", "bus")))
    )
    parsed = run(tmp_path / "raw", drop=["bus"])
    ledger = parsed.ledger
    assert ledger.objects == ObjectCounts(total=19, kept=4, converted=6, dropped=9)
    assert ledger.dropped == {
        NO_AREA: 2,
        POINTS_ALONE: 1,
        NO_PLACE: 1,
        NO_LABEL: 1,
        LABEL_DROPPED: 1,
        INVERTED: 1,
        "wholly outside the image": 1,
        "coordinates missing or not numbers": 1,
    }
    assert len(parsed.objects) == 10
    assert (ledger.clipped, list(parsed.objects[parsed.objects["truncated"]]["x_min"])) == (1, [0])
    assert ledger.undeclared_labels == ["", "van"]
    assert ledger.shapes["polyline"] == ObjectCounts(total=2, kept=0, converted=1, dropped=1)
    assert ledger.dropped_examples[NO_PLACE] == [".: a.jpg, tag, car"]
    assert ledger.exports["."].objects == ledger.objects


def test_fields_of_an_object_are_kept(tmp_path: Path) -> None:
    given = 'label="car" source="auto" occluded="1" points="1,2;5,1;4,9" z_order="3"'
    shape = f'<polygon {given}><attribute name="ä">"1"</attribute></polygon>'
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", shape, BOX)))
    first, second = run(tmp_path / "raw").objects.to_dict("records")
    assert (first["shape"], first["source"], first["occluded"], first["z_order"]) == ("polygon", "auto", True, 3)
    assert json.loads(first["attributes"]) == {"ä": '"1"'}
    assert json.loads(first["points"]) == [[1, 2], [5, 1], [4, 9]]
    assert second["attributes"] == "{}"
    assert pd.isna(second["points"])


@pytest.mark.parametrize("number", ["--5", "99999999999999999999", "-99999999999999999999", "x"])
def test_whole_number_that_no_table_holds_means_nothing(tmp_path: Path, number: str) -> None:
    odd = BOX.replace('z_order="0"', f'z_order="{number}"')
    turned = odd.replace("/>", ' rotation="90"/>')
    text = document(image("a.jpg", BOX, odd, turned)).replace('image id="0"', f'image id="{number}"')
    write(tmp_path / "raw" / "annotations.xml", text)
    parsed = run(tmp_path / "raw")
    assert (parsed.objects["z_order"].tolist(), parsed.images["frame"].isna().tolist()) == ([0, 0, 0], [True])


def test_objects_are_numbered_within_their_image_those_dropped_too(tmp_path: Path) -> None:
    text = document(
        image("a.jpg", BOX, box(xbr=10), box(more='rotation="9"')), image("b.jpg", BOX), image("a.jpg", BOX)
    )
    write(tmp_path / "raw" / "annotations.xml", text)
    parsed = run(tmp_path / "raw")
    first, second = parsed.images["image_id"]
    assert parsed.objects["object_id"].tolist() == [f"{first}-0", f"{first}-2", f"{second}-0", f"{first}-3"]


def test_images_without_objects_are_negatives(tmp_path: Path) -> None:
    write(
        tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX), image("b.jpg"), image("c.jpg", box(xbr=10)))
    )
    parsed = run(tmp_path / "raw")
    assert (len(parsed.images), parsed.ledger.images.empty) == (3, 2)


def test_any_number_of_images_is_written(tmp_path: Path) -> None:
    # Full batches, none of them begun.
    write(tmp_path / "raw" / "annotations.xml", document(*(image(f"{number}.jpg") for number in range(4_000))))
    assert len(run(tmp_path / "raw").images) == 4_000


def test_image_is_right_about_its_size_and_boxes_stay(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", box(xtl=110, xbr=150), width=100, height=80)))
    write_image(tmp_path / "raw" / "images" / "a.jpg", 200, 90)
    parsed = run(tmp_path / "raw")
    assert parsed.ledger.size_mismatches == [".: a.jpg is 200x90, labelled as 100x80"]
    assert parsed.images.iloc[0][["width", "height"]].tolist() == [200, 90]
    assert parsed.objects.iloc[0][["x_min", "x_max"]].tolist() == [110, 150]


def test_turned_image_is_as_large_as_people_see_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", box(ybr=95), width=80, height=100)))
    write_image(tmp_path / "raw" / "images" / "a.jpg", 100, 80, exif=exif)
    parsed = run(tmp_path / "raw")
    row = parsed.images.iloc[0]
    assert (row["width"], row["height"], parsed.ledger.images.size_mismatches) == (80, 100, 0)
    assert read_image(image_path(row["file"], tmp_path / "raw", parsed.folder)).shape == (100, 80, 3)
    assert parsed.objects.iloc[0]["y_max"] == 95


def test_unreadable_image_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX), image("b.jpg", BOX)))
    write_image(tmp_path / "raw" / "images" / "b.jpg")
    (tmp_path / "raw" / "images" / "a.jpg").write_bytes(b"no image")
    parsed = run(tmp_path / "raw")
    assert parsed.images["readable"].tolist() == [False, True]
    assert (parsed.ledger.images.found, parsed.ledger.unreadable) == (2, [".: a.jpg"])


@pytest.mark.parametrize("content", [None, b"no image"], ids=["another picture", "damaged"])
def test_other_bytes_under_the_same_name_make_another_table(tmp_path: Path, content: bytes | None) -> None:
    """Stages behind depend on the table, and not on the files."""
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX)))
    file = tmp_path / "raw" / "images" / "a.jpg"
    write_image(file)
    before = run(tmp_path / "raw").images
    if content is None:
        write_image(file, colour=9)
    else:
        file.write_bytes(content)
    after = run(tmp_path / "raw").images
    assert before["sha256"].notna().all()
    assert after["sha256"].notna().all()
    assert before["sha256"].tolist() != after["sha256"].tolist()


def test_missing_and_ambiguous_images_are_named(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "labels" / "annotations.xml", document(image("a.jpg"), image("b.jpg")))
    write_image(tmp_path / "raw" / "one" / "b.jpg", colour=1)
    write_image(tmp_path / "raw" / "two" / "b.jpg", colour=200)
    parsed = run(tmp_path / "raw")
    assert parsed.images["file"].isna().all()
    assert not parsed.images["readable"].any()
    assert parsed.ledger.missing == ["labels: a.jpg"]
    assert parsed.ledger.ambiguous == ["labels: b.jpg (one/b.jpg, two/b.jpg)"]
    assert parsed.ledger.files_without_labels == 2


def test_picture_of_another_size_elsewhere_is_not_the_image(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "labels" / "annotations.xml", document(image("a.jpg", width=100, height=80)))
    write_image(tmp_path / "raw" / "loose" / "a.jpg", 200, 90)
    parsed = run(tmp_path / "raw")
    assert (parsed.images.iloc[0]["width"], parsed.ledger.missing) == (100, ["labels: a.jpg"])
    assert parsed.images["file"].isna().all()


def test_same_names_in_subsets_are_different_images(tmp_path: Path) -> None:
    images = [image("a.jpg", BOX, more=f'subset="{subset}" task_id="3"') for subset in ("Train", "Test")]
    write(tmp_path / "raw" / "annotations.xml", document(*images, meta=""))
    for colour, subset in enumerate(("Train", "Test")):
        write_image(tmp_path / "raw" / "images" / subset / "a.jpg", colour=colour)
    parsed = run(tmp_path / "raw")
    assert parsed.images["file"].tolist() == ["raw/images/Train/a.jpg", "raw/images/Test/a.jpg"]
    assert parsed.images["image_id"].is_unique
    assert parsed.images["sha256"].is_unique


def test_frames_left_out_are_counted_with_their_objects(tmp_path: Path) -> None:
    one = track(0, "car", *(track_box(frame, 0, 0, 9, 9) for frame in range(6)))
    write(tmp_path / "raw" / "annotations.xml", document(one, meta=video_meta(9)))
    parsed = run(tmp_path / "raw", frame_step=4)
    assert parsed.images["frame"].tolist() == [0, 4, 8]
    assert (parsed.ledger.images.declared, parsed.ledger.images.skipped) == (10, 7)
    assert parsed.ledger.objects == ObjectCounts(total=6, kept=2, converted=0, dropped=4)
    assert parsed.ledger.dropped == {FRAME_SKIPPED: 4}


def test_parsing_again_gives_the_same_tables(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "b" / "annotations.xml", document(image("a.jpg", BOX, box("bus"))))
    write(tmp_path / "raw" / "a" / "annotations.xml", document(image("a.jpg", BOX), meta=""))
    first = run(tmp_path / "raw")
    kept = [(first.folder / name).read_bytes() for name in ("images.parquet", "objects.parquet")]
    again = run(tmp_path / "raw")
    assert kept == [(again.folder / name).read_bytes() for name in ("images.parquet", "objects.parquet")]


def test_command_writes_all_outputs_and_says_what_it_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX, box(xbr=10))))
    caplog.set_level(logging.INFO)
    main(raw=tmp_path / "raw", annotations=tmp_path / "annotations", params=REPOSITORY / "params.yaml")
    assert sorted(path.name for path in (tmp_path / "annotations").iterdir()) == [
        "images.parquet",
        "ledger.json",
        "objects.parquet",
    ]
    assert read_record(tmp_path / "annotations" / "ledger.json", Ledger).objects.kept == 1
    assert "parsed 1 images, 1 boxes of 1 classes from 1 exports" in caplog.text


def test_failed_run_leaves_what_stood_before(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", BOX)))
    main(raw=tmp_path / "raw", annotations=tmp_path / "annotations", params=REPOSITORY / "params.yaml")
    before = (tmp_path / "annotations" / "ledger.json").read_bytes()
    # The head is sound, the rest is cut short: the fault is met while tables are being written.
    text = document(*(image(f"{number}.jpg", BOX) for number in range(3_000)))
    write(tmp_path / "raw" / "annotations.xml", text[:-40])
    with pytest.raises(PipelineError, match="cannot be read"):
        main(raw=tmp_path / "raw", annotations=tmp_path / "annotations", params=REPOSITORY / "params.yaml")
    assert (tmp_path / "annotations" / "ledger.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('<mask label="car" rle="{}" left="0" top="0" width="2400" height="2400"/>', (1, 0, 2400, 2400)),
        ('<box label="car" xtl="1" ytl="2" xbr="3" ybr="4"><attribute name="note">{}</attribute></box>', (1, 2, 3, 4)),
    ],
    ids=["runs of a mask", "text of an attribute"],
)
def test_value_beyond_10_mb_is_read(tmp_path: Path, shape: str, box: tuple[int, ...]) -> None:
    runs = ",".join(["1"] * 2400 * 2400)
    small = image("b.jpg", BOX)
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", shape.format(runs), width=2400), small))
    boxes = run(tmp_path / "raw").boxes("name")
    assert boxes["a.jpg",][0][2:] == (*box[:2], box[2], min(box[3], 80))
    assert len(boxes["b.jpg",]) == 1


def test_frames_deleted_in_cvat_are_left_out_and_counted_as_such(tmp_path: Path) -> None:
    shapes = [track_box(frame, 0, 0, 9, 9, keyframe=frame in (0, 7)) for frame in (0, 1, 2, 5, 6, 7)]
    one = track(0, "car", *shapes, track_box(8, 0, 0, 9, 9, outside=True))
    write(tmp_path / "raw" / "annotations.xml", document(one, meta=video_meta(9)))
    for frame in range(10):
        write_image(tmp_path / "raw" / "images" / f"frame_{frame:06d}.jpg", colour=frame)
    parsed = run(tmp_path / "raw")
    counts = parsed.ledger.images
    assert parsed.images["frame"].tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    assert (counts.declared, counts.found, counts.deleted, counts.skipped, counts.empty) == (10, 8, 2, 0, 2)
    assert (len(parsed.objects), parsed.ledger.files_without_labels) == (6, 0)


def test_labels_of_which_nothing_is_left_are_told_with_the_reasons(tmp_path: Path) -> None:
    shapes = [box("flat", xtl=5, xbr=5), box("flat", xtl=200, xbr=300), box("unwanted"), box("car"), box("car", xtl=30)]
    write(tmp_path / "raw" / "annotations.xml", document(image("a.jpg", *shapes)))
    ledger = run(tmp_path / "raw", drop=["unwanted"]).ledger
    assert ledger.lost_labels == {
        "flat": {NO_AREA: 1, OUTSIDE_IMAGE: 1},
        "unwanted": {LABEL_DROPPED: 1},
    }
    assert ledger.intended == [LABEL_DROPPED]
