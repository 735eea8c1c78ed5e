"""parse: files that could be labels and are not read stop the run by name; companions of labels do not."""

import json
import struct
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import PipelineError
from tasks.contracts.manifest import Export, Manifest
from tasks.contracts.record import write_record
from tests.fixtures.cvat import BOX, document, image, write
from tests.fixtures.parse import export_of, run, write_image

ROW = "0 .5 .5 .2 .4\n"
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "b.jpg", "width": 100, "height": 80}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    "categories": [{"id": 1, "name": "car"}],
}


def without(key: str) -> str:
    return json.dumps({name: value for name, value in COCO.items() if name != key})


def beside_sound_labels(folder: Path, files: dict[str, str]) -> Path:
    """A sound export, and these files in another."""
    write(folder / "raw" / "good" / "annotations.xml", document(image("a.jpg", BOX)))
    write_image(folder / "raw" / "good" / "images" / "a.jpg")
    return export_of(folder, files)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"annotations/instances.json": without("categories")}, r"COCO without `categories`: .*instances\.json"),
        ({"instances.json": without("images")}, r"COCO without `images`: .*instances\.json"),
        ({"instances.json": without("annotations")}, r"COCO without `annotations`: .*instances\.json"),
        (
            {"data.yaml": "train: images\nnc: 1\n", "images/b.jpg": "", "labels/b.txt": ROW},
            r"1 YOLO label files without class names: .*labels: b\.txt; .*data\.yaml has no `names`",
        ),
        (
            {"images/b.jpg": "", "labels/b.txt": ROW},
            r"without class names: .*neither data\.yaml, obj\.data nor classes\.txt",
        ),
        ({"b.jpg": "", "b.TXT": "3 48 36 40 20\n"}, r"without class names: .*b\.TXT"),
        (
            {"data.yaml": "train: images/train\nnames: [car]\n", "images/train/b.jpg": "", "labels/train/b.txt": ROW,
             "images/val/c.jpg": "c", "labels/val/c.txt": ROW},
            r"without class names: .*labels/val: c\.txt; .*data\.yaml has no `names`, or no subset that holds them",
        ),
        (
            {"data.yaml": "train: images\nnames: [car]\n", "images/b.jpg": "", "labels/b.txt": ROW,
             "labels_old/b.txt": ROW, "classes.txt": "car\n"},
            r"1 YOLO label files of images that have others: .*labels_old: b\.txt",
        ),
        ({"b.jpg": "", "b.txt": "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"},
         r"KITTI or DOTA\): .*b\.txt"),
        ({"b.jpg": "", "b.txt": "imagesource:x\ngsd:1\n1 2 3 4 5 6 7 8 plane 0\n"}, r"KITTI or DOTA\): .*b\.txt"),
        ({"gt/gt.txt": "1,1,912,484,97,109,0,7,1\n", "gt/labels.txt": "car\n"}, r"\(MOT\): .*gt\.txt"),
        ({"train.txt": "images/b.jpg 1,2,3,4,0 5,6,7,8,1\n", "images/b.jpg": ""}, "rows of an image and its boxes"),
        ({"wider.txt": "b.jpg\n2\n1 2 3 4 0 0\n5 6 7 8 0 0\n", "b.jpg": ""}, r"WIDER FACE\): .*wider\.txt"),
        ({"b.jpg": "", "gts/gt_b.txt": "1,2,3,4,5,6,7,8,word\n"}, r"rows of numbers .*gt_b\.txt"),
        ({"SegmentationClass/b.png": "", "images/b.jpg": ""}, r"1 label masks, which are not read: .*Class"),
        ({"b.csv": "NAME_ID,X,Y,W,H\nb,1,2,3,4\n"}, r"CSV of boxes lacks columns: .*name_id, x, y, w, h"),
        ({"b.csv": "image_id,width,height,bbox\nb,1,2,\"[1, 2, 3, 4]\"\n"}, r"no column for .*label.*bbox is not read"),
        ({"b.csv": "filename,xmin,ymin,xmax,ymax\nb.jpg,1,2,3,4\n"}, r"CSV of boxes lacks columns: .*column for label"),
        ({"b.csv": "filename,class,xmin,ymin,xmax,ymax,score\nb.jpg,a,1,2,3,4,.9\n"}, r"predictions.*b\.csv: score"),
        ({"via.json": json.dumps({"b.jpg1": {"filename": "b.jpg", "size": 1, "regions": []}})}, "VGG Image Annotator"),
        ({"via.json": json.dumps({"_via_img_metadata": {"b": {"filename": "b.jpg"}}})}, "VGG Image Annotator"),
        (
            {"via.csv": "filename,file_size,region_shape_attributes,region_attributes\nb.jpg,1,{},{}\n"},
            "region_shape_attributes is not read",
        ),
        ({"ls.json": json.dumps([{"id": 1, "data": {"image": "b.jpg"}, "annotations": []}])}, "Label Studio's JSON"),
        ({"results.json": json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}])},
         "COCO results, which are predictions"),
        ({"b.json": json.dumps({"size": {}, "objects": [{"classTitle": "a", "points": {"exterior": [[1, 2]]}}]})},
         r"JSON of its own kind\): .*b\.json"),
        ({"b.json": json.dumps([{"name": "b", "labels": [{"category": "a", "box2d": {"x1": 1}}]}])}, "its own kind"),
        ({"b.ndjson": '{"type": "dataset"}\n{"file": "b.jpg", "annotations": {"boxes": [[0, 1, 2, 3, 4]]}}\n'},
         r"JSON lines with places of objects\): .*b\.ndjson"),
        ({"b.json": json.dumps([{"file": "b", "marks": [{"x": 1, "y": 2, "width": 3, "height": 4}]}])}, "its own kind"),
        ({"b.json": json.dumps({"shapes": [{"shape_type": "rectangle", "points": [[1, 2], [3, 4]]}]})}, "its own kind"),
        ({"b.jpg": "", "b.txt": "dog 0.5 0.5 0.2 0.4\n"}, r"rows of numbers beside an image.*b\.txt"),
        ({"b.jpg": "", "b.txt": "0,0.5,0.5,0.2,0.4\n"}, r"rows of numbers beside an image.*b\.txt"),
        ({"b.csv": 'id,image,label\n1,b.jpg,"[{""x"": 1, ""rectanglelabels"": [""a""]}]"\n'}, "Label Studio.s JSON"),
        ({"b.csv": "TRAINING,gs://x/b.jpg,car,0.1,0.2,,,0.3,0.4,,\n"}, "rows of an image and numbers, without"),
        ({"output.manifest": '{"source-ref": "b.jpg", "x": {"annotations": [{"left": 1, "top": 2, "width": 3, '
          '"height": 4}]}}\n'}, r"JSON lines with places of objects\): .*output\.manifest"),
        ({"b.xml": "<dataset><images><image file='b.jpg'><box top='1' left='2'/></image></images></dataset>"},
         r"XML with objects\): .*b\.xml"),
    ],
    ids=[
        "COCO without categories", "COCO without images", "COCO without annotations", "data.yaml without names",
        "no class names", "upper case beside images", "subset that data.yaml lacks", "second labels", "KITTI", "DOTA",
        "MOT",
        "rows of an image", "WIDER FACE", "ICDAR", "masks", "CSV of centres",
        "CSV with a list", "CSV without labels", "CSV of predictions", "VIA", "VIA project",
        "VIA as CSV", "Label Studio", "COCO results", "Supervisely", "BDD", "marks", "shapes", "names in rows",
        "commas", "NDJSON", "Label Studio as CSV",
        "AutoML", "Ground Truth", "dlib",
    ],
)  # fmt: skip
def test_file_that_could_be_labels_stops_the_run_by_name(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(PipelineError, match=rf"(?s){said}"):
        run(beside_sound_labels(tmp_path, files))


def test_binary_label_files_stop_the_run_by_name(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    pq.write_table(pa.table({"image": ["b"], "objects": [{"bbox": [1.0]}]}), raw / "export" / "b.parquet")
    record = b"\n\x15\n\x13image/object/bbox/xmin"
    (raw / "export" / "b.tfrecord").write_bytes(struct.pack("<Q", len(record)) + record)
    with pytest.raises(PipelineError, match=r"(?s)Parquet with boxes.*b\.parquet.*TFRecord.*b\.tfrecord"):
        run(raw)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "caf\xe9\ncar\n"),
        ("b.txt", ROW + "# caf\xe9\n"),
        ("b.csv", "filename,class,xmin,ymin,xmax,ymax\nb.jpg,caf\xe9,1,2,3,4\n"),
    ],
)
def test_label_file_that_is_not_utf_8_is_named(tmp_path: Path, name: str, text: str) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": "", "b.txt": ROW, "classes.txt": "car\n"})
    (raw / "export" / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(PipelineError, match=rf"text is not UTF-8: .*{name}"):
        run(raw)


def test_table_without_boxes_may_be_in_any_encoding(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, {})
    write(raw / "good" / "places.csv", "")
    (raw / "good" / "places.csv").write_bytes("place,camera\ncaf\xe9,1\n".encode("latin-1"))
    assert len(run(raw).images) == 1


@pytest.mark.parametrize(("inside", "stops"), [("task/annotations.xml", True), ("images/a.jpg", False)])
def test_zip_with_labels_within_an_export_stops_the_run(tmp_path: Path, inside: str, *, stops: bool) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    with zipfile.ZipFile(raw / "export" / "more.zip", "w") as archive:
        archive.writestr(inside, "")
    with pytest.raises(PipelineError, match=r"zip within an export.*more\.zip") if stops else nullcontext():
        run(raw)


def test_label_file_that_keeps_the_ending_of_its_image_is_read(tmp_path: Path) -> None:
    files = {"data.yaml": "train: images\nnames: [car]\n", "images/b.jpg": "", "labels/b.jpg.txt": ROW}
    parsed = run(export_of(tmp_path, files))
    assert [(name, len(rows)) for (name,), rows in parsed.boxes("name").items()] == [("b.jpg", 1)]
    assert len(parsed.images) == 1


def test_all_unread_files_are_told_at_once(tmp_path: Path) -> None:
    files = {f"{number:02}.json": without("categories") for number in range(30)}
    with pytest.raises(PipelineError, match=r"(?s)00\.json.*19\.json.*and 11 more") as caught:
        run(beside_sound_labels(tmp_path, files | {"b.jpg": "", "b.txt": ROW}))
    assert "20.json" not in str(caught.value)


def test_unread_files_of_an_earlier_version_stop_nothing(tmp_path: Path) -> None:
    for folder, files in (("e", {"annotations.json": without("categories")}), ("e-1", {"a.json": json.dumps(COCO)})):
        for name, text in files.items():
            write(tmp_path / "raw" / folder / name, text)
    exports = [Export(name="e", folder=folder, source="e.zip", sha256="", bytes=1, files=1) for folder in ("e", "e-1")]
    write_record(Manifest(exports=exports), tmp_path / "raw" / "manifest.json")
    assert run(tmp_path / "raw").images["name"].tolist() == ["b.jpg"]


YOLO = {"data.yaml": "train: images\nnames: [car]\n", "images/b.jpg": "", "labels/b.txt": ROW}


@pytest.mark.parametrize(
    "files",
    [
        {
            "README.txt": "1 2 3 4 5 images\nare here\n", "LICENSE": "1 2 3 4 5",
            "notes.json": '{"categories": [], "info": {}}',
            "manifest.jsonl": '{"version": "1.1"}\n{"name": "a", "extension": ".jpg", "width": 1, "height": 2}\n',
            "package.json": '{"name": "x", "box": null}', "args.yaml": "task: detect\nbox: 7.5\ntrain: true\n",
            "metadata.csv": "filename,width,height,camera\nb.jpg,1,2,3\n", "classes.csv": "filename,car\nb.jpg,1\n",
            "aux.xml": "<PAMDataset><Metadata/></PAMDataset>", "requirements.txt": "numpy==2.0\n",
        },
        {"train.txt": "images/b.jpg\n", "labels/train.cache": "x", "classes.txt": "a\n", "labels/classes.txt": "a\n"},
        {"images/b.txt": "a photo of 2 cars on 3 roads\n", "timestamps.txt": "1 0.5\n2 0.6\n"},
        {"captions_val.json": json.dumps({"images": COCO["images"], "annotations": [{"image_id": 1, "caption": "a"}]})},
        {"image_info_test.json": without("annotations")},
        {"labels/c.txt": "", "poses.txt": "1.0 2.0 3.0 4.0 5.0 6.0\n"},
        {"data_colab.yaml": "train: /content/x/images\nnames: [car]\n", "copy.yaml": "train: images\nnames: [car]\n"},
    ],
    ids=["texts and tables", "lists and caches", "captions as texts", "captions", "image info", "empty labels",
                 "other machines' YAML"],
)  # fmt: skip
def test_companions_of_labels_stop_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    parsed = run(export_of(tmp_path, YOLO | files))
    assert [(name, len(rows)) for (name,), rows in parsed.boxes("name").items()] == [("b.jpg", 1)]
    assert (len(parsed.images), parsed.ledger.objects.dropped) == (1 + ("labels/c.txt" in files), 0)


def test_same_labels_in_a_second_format_are_read_once(tmp_path: Path) -> None:
    voc = "<annotation><filename>b.jpg</filename><object><name>car</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
    files = {
        "Annotations/b.xml": voc + "<xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>",
        "images/b.jpg": "",
        "train_labels.csv": "filename,class,xmin,ymin,xmax,ymax\nb.jpg,car,1,2,3,4\n",
        "coco.json": json.dumps(COCO),
    }
    parsed = run(export_of(tmp_path, files))
    assert (len(parsed.images), len(parsed.objects)) == (1, 1)
    assert parsed.ledger.exports["export"].notes == [
        "export/coco.json (coco) labels images that are read as voc: it is not read",
        "export/train_labels.csv (csv) labels images that are read as voc: it is not read",
    ]


def test_fuller_labels_of_the_same_images_that_are_not_read_are_told_with_both_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voc = "<annotation><filename>b.jpg</filename><object><name>car</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
    car, more = COCO["annotations"][0], {"id": 2, "bbox": [5, 5, 2, 2]}
    files = {
        "Annotations/b.xml": voc + "<xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>",
        "b.jpg": "",
        "coco.json": json.dumps(COCO | {"annotations": [car, car | more]}),
    }
    parsed = run(export_of(tmp_path, files))
    note = (
        "export/coco.json (coco) labels images that are read as voc: it is not read, though it holds more objects of "
        "1 of them (2 in all, 1 in voc); to read it instead, name the label files of voc in parse.ignore"
    )
    assert parsed.ledger.exports["export"].notes == [note]
    assert note in caplog.text
    assert len(run(tmp_path / "raw", ignore=["*/b.xml"]).objects) == 2


def test_same_labels_in_voc_are_not_read_after_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    voc = "<annotation><filename>b.jpg</filename><object><name>car</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
    files = {
        "b.jpg": "",
        "_labels.csv": "filename,class,xmin,ymin,xmax,ymax\nb.jpg,car,1,2,3,4\n",
        "b.xml": voc + "<xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>",
        "labelmap.txt": "car:1,2,3::\n",
    }
    parsed = run(export_of(tmp_path, files))
    assert (len(parsed.images), parsed.ledger.exports["export"].formats) == (1, ["csv"])
    assert "(voc) labels images that are read as csv: it is not read" in caplog.text


def test_second_format_that_has_more_images_is_read(tmp_path: Path) -> None:
    more = COCO | {"images": [*COCO["images"], {"id": 2, "file_name": "c.jpg"}]}
    parsed = run(export_of(tmp_path, YOLO | {"annotations/coco.json": json.dumps(more)}))
    assert sorted(parsed.images["name"]) == ["b.jpg", "b.jpg", "c.jpg"]
    assert pd.notna(parsed.images["file"]).sum() == 2
