"""parse: what could be labels by any sign stops the run by name, whatever its format; companions do not."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tests.fixtures.parse import export_of, run, write_image
from tests.tasks.test_parse_unread import ROW, YOLO, beside_sound_labels

POINTS = [[20, 20], [80, 20], [80, 80]]
GEOJSON = {"features": [{"geometry": {"type": "Polygon", "coordinates": [POINTS]}, "properties": {"label": "dog"}}]}
BITMAP = {"objects": [{"geometryType": "bitmap", "bitmap": {"data": "eJwB", "origin": [20, 20]}}]}
LABELBOX = {"projects": {"p": {"labels": [{"annotations": {"objects": [{"bounding_box": {"top": 20.0}}]}}]}}}
PALIGEMMA = {"image": "b.jpg", "prefix": "detect dog", "suffix": "<loc0128><loc0102><loc0512><loc0410> dog"}
FLORENCE = {"image": "b.jpg", "prefix": "<OD>", "suffix": "dog<loc_1><loc_2><loc_300><loc_400>"}
LABELME = {"shapes": [{"label": "dog", "points": POINTS, "shape_type": "polygon"}], "imagePath": "b.jpg"}
SPARSE = [{"image": f"b{number}.jpg", "boxes": [[1, 2, 3, 4]] if number > 30 else []} for number in range(40)]
VOC = "<annotation xmlns='http://x.org/a'><object><name>dog</name><bndbox><xmin>2</xmin></bndbox></object></annotation>"
ICDAR = "<tagset><image><imageName>b.jpg</imageName><r><tagged x='2' y='2' width='6' height='6'/></r></image></tagset>"
VIPER = "<viper xmlns:data='http://x/d#'><data><a><data:bbox height='6' width='6' x='2' y='2'/></a></data></viper>"
PAGE = "<PcGts xmlns='http://x/p'><Page imageFilename='b.jpg'><Coords points='20,20 80,20 80,80'/></Page></PcGts>"
ASAP = (
    "<ASAP_Annotations><Annotations><Annotation Name='crack'><Coordinates><Coordinate Order='0' X='2' Y='3'/>"
    "<Coordinate Order='1' X='8' Y='3'/></Coordinates></Annotation></Annotations></ASAP_Annotations>"
)
OWN = "<defects><defect><left>2</left><top>3</top><right>8</right><bottom>9</bottom></defect></defects>"
PATH = "<shape><pt><x>2</x><y>3</y></pt><pt><x>8</x><y>9</y></pt></shape>"
BOMB = list(pairwise("klmnopqrs"))  # nine of nine of nine ...
BOSCH = "- boxes:\n  - {label: Red, x_max: 40, x_min: 1, y_max: 5, y_min: 2}\n  path: ./rgb/b.jpg\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("b.csv", "filename,class,x_center,y_center,width,height\nb.jpg,dog,50,50,60,60\n", "filename.*x_center"),
        ("b.csv", "ImageId,ClassId,EncodedPixels\nb.jpg,1,29102 12 29346 24\n", "EncodedPixels"),
        ("b.csv", "ImageId,ClassId,EncodedPixels\nb,1,29102 12 29346 24\nc,,\n", "EncodedPixels"),
        ("b.csv", "photo,polygon_wkt\nb.jpg,\"POLYGON((2 3, 4 5, 6 7))\"\n", "polygon_wkt"),
        ("b.csv", "photo,row,col,rows,cols\nb.jpg,1,2,3,4\n", "columns are photo"),
        ("b.csv", "3;4;5;6\n", "a table without"),
        ("b.csv", "b,1,2,3,4\n", "a table without"),
        ("b.csv", "Filename;Width;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\nb.jpg;9;2;2;8;8;0\n", "column for label"),
        ("b.csv", "image,temperature,pressure,cx,cy,w,h\nb.jpg,9,9,2,3,4,5\n", "columns are image, temperature"),
        ("b.csv", "image,x,y,z,l,w,h,roll,pitch,yaw\nb.jpg,2,3,4,5,6,7,0,0,0\n", "columns are image, x, y, z"),
        ("b.csv", "image,fx,fy,cx,cy,u0,v0,u1,v1\nb.jpg,7,7,3,2,2,3,4,5\n", "columns are image, fx"),
        ("b.csv", "image,tx,ty,tw,th\nb.jpg,2,3,4,5\n", "columns are image, tx"),
        ("b.json", json.dumps(GEOJSON), r"its own kind\): .*b\.json"),
        ("b.geojson", json.dumps(GEOJSON), r"places of objects\): .*b\.geojson"),
        ("b.jpg.json", json.dumps(BITMAP), "its own kind"),
        ("x.json", json.dumps([LABELBOX]), "its own kind"),
        ("x.json", json.dumps(SPARSE), "its own kind"),
        ("x.json", json.dumps({"image": "b.jpg", "objects": [{"rect": [20, 20, 80, 80]}]}), "its own kind"),
        ("x.json", json.dumps({"b.jpg": [{"at": {"cx": 2, "cy": 3, "w": 4, "h": 5}}]}), "its own kind"),
        ("x.jsonl", json.dumps(PALIGEMMA), "JSON lines"),
        ("x.jsonl", json.dumps(FLORENCE), "JSON lines"),
        ("x.odgt", json.dumps({"ID": "b", "gtboxes": [{"fbox": [1, 2, 3, 4]}]}), "CrowdHuman"),
        ("x.txt", "b.jpg 20,20,80,80,0\nc.jpg\n", "rows of an image"),
        ("x.txt", "my b.jpg 20,20,80,80,0\n", "rows of an image"),
        ("x.lst", "0\t4\t5\t0\t0.1\t0.2\t0.3\t0.4\tb.jpg\n", r"rows of an image.*x\.lst"),
        ("b.jpg.txt", "Car 0.00 0 -1.58 20.01 20.33 80.12 80.12 1.65\n", r"beside an image.*b\.jpg\.txt"),
        ("license.txt", "license.jpg 20,20,80,80,0\n", "rows of an image"),
        ("b_gt.txt", "20,20,80,80,dog\n", r"beside an image.*b_gt\.txt"),
        ("b.lines.txt", "20 20 80 80 90 90\n", r"beside an image.*b\.lines\.txt"),
        ("b.txt", "20.5 20.2\n80.1 80.2\n", r"points, such as landmarks\): .*b\.txt"),
        ("b.txt", "nose 20.5 20.2\n", "such as landmarks"),
        ("b_land.pts", "version: 1\nn_points: 2\n{\n20.5 20.2\n80.1 80.2\n}\n", r"landmarks\): .*b_land\.pts"),
        ("x.txt", "b.jpg: [[10, 20, 30, 40]]\n", "rows of an image"),
        ("b.txt", "crack [10, 20, 30, 40]\n", r"beside an image.*b\.txt"),
        ("b.txt", "crack x=10 y=20 w=30 h=40\n", r"beside an image.*b\.txt"),
        ("b.txt", "(2, 5) - (29, 49)\n", r"beside an image.*b\.txt"),
        ("bounding_boxes.txt", "1 60.0 27.0 325.0 304.0\n", r"rows of numbers.*bounding_boxes\.txt"),
        ("det/det.txt", "1,-1,912,484,97,109,0.9\n", r"rows of numbers.*det\.txt"),
        ("readme.jsonl", json.dumps({"image": "b.jpg", "boxes": [[1, 2, 3, 4]]}), "JSON lines"),
        ("changes.csv", "photo,row,col,rows,cols\nb.jpg,1,2,3,4\n", "columns are photo"),
        ("x.yaml", "b.jpg:\n- {label: crack, bbox: [1, 2, 30, 40]}\n", r"YAML.*x\.yaml"),
        ("b.txt", json.dumps(LABELME), r"JSON.*b\.txt"),
        ("b.txt", json.dumps(LABELME)[:-1], r"JSON.*b\.txt"),
        ("b.xml", VOC, "XML with objects"),
        ("x.xml", ICDAR, "XML with objects"),
        ("x.xml", VIPER, "XML with objects"),
        ("x.xml", PAGE, "XML with objects"),
        ("x.yaml", BOSCH, r"YAML.*x\.yaml"),
        ("x.csv", "ImageId_ClassId,EncodedPixels\nb.jpg_1,29102 12 29346 24\n", "EncodedPixels"),
        ("x.csv", "image_id,annotations\nb,\"[{'x': 5, 'y': 2, 'width': 5, 'height': 3}]\"\n", "image_id, annotations"),
        ("x.csv", "frame,id,bb_left,bb_top,bb_width,bb_height\n1,1,2,3,4,5\n", "bb_left, bb_top"),
        ("x.json", json.dumps({"filename": "/b.jpg", "annotations": [{"at": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}]}),
         "its own kind"),
        ("tracks/MOT17-02.txt", "1,1,912,484,97,109,0,-1,-1,-1\n", r"\(MOT\)"),
        ("b.yaml", "objects:\n- {cls: 1, x: 2, y: 3, w: 4, h: 5}\n", r"YAML.*b\.yaml"),
        ("x.yaml", "b.jpg:\n- [crack, 1, 2, 30, 40]\n", r"YAML.*x\.yaml"),
        ("b.xml", OWN, "XML with objects"),
        ("b.xml", PATH, "XML with objects"),
        ("x.xml", ASAP, "XML with objects"),
        ("x.json", json.dumps({"b.jpg": [["crack", 1, 2, 30, 40]]}), "its own kind"),
        ("x.json", json.dumps({"b.jpg": {"left": "1", "top": "2", "right": "30", "bottom": "40"}}), "its own kind"),
        ("x.json", json.dumps([{"image": "b.jpg", "cx": 2, "cy": 3, "r": 4}]), "its own kind"),
        ("x.json", json.dumps({"b.jpg": [{"label": "bolt", "x": 2, "y": 3}]}), "its own kind"),
        ("x.csv", "image,label,x,y\nb.jpg,bolt,2,3\n", "columns are image, label, x, y"),
        ("x.csv", "image,cx,cy,radius\nb.jpg,2,3,4\n", "columns are image, cx"),
        ("train.record-00000-of-00010", "x", "TFRecord"),
        ("x.mat", "MATLAB 5.0", "MATLAB"),
        ("x.xlsx", "PK", "save it as CSV"),
        ("x.json.gz", "x", r"packed within.*json\.gz"),
        ("x.tar.gz", "x", r"packed within.*tar\.gz"),
        ("x.tar", "x", "stays packed"),
    ],
)  # fmt: skip
def test_file_that_could_be_labels_by_any_sign_stops_the_run(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(PipelineError, match=rf"(?s){said}"):
        run(beside_sound_labels(tmp_path, {"b.jpg": "", "license.jpg": "", name: text}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.csv", "epoch,train/box_loss,train/cls_loss,metrics/mAP50,lr/pg0\n1,.5,.4,.3,.2\n"),
        ("imu.csv", "timestamp,w_x,w_y,w_z,a_x\n1,.1,.2,.3,.4\n"),
        ("_classes.csv", "filename,car,bus,van,dog,cat\nb.jpg,0,1,0,1,0\n"),
        ("frames.csv", "#timestamp,filename\n1403636579763555584,b.jpg\n"),
        ("info.csv", "filename,width,height,latitude,longitude,altitude,iso\nb.jpg,9,9,50.5,60.5,7.5,100\n"),
        ("poses.csv", "image,tx,ty,tz,qx,qy,qz,qw\nb.jpg,.1,.2,.3,0,0,.7,.7\n"),
        ("poses.csv", "image,x,y,z,roll,pitch,yaw\nb.jpg,.1,.2,.3,0,0,.7\n"),
        ("poses.json", json.dumps([{"image": "b.jpg", "x": 0.1, "y": 0.2, "z": 3, "roll": 0, "pitch": 0, "yaw": 2}])),
        ("lens.csv", "image,fx,fy,cx,cy,k1,k2,p1,p2\nb.jpg,700,700,320,240,.1,.01,0,.001\n"),
        ("weather.csv", "image,temperature,humidity,wind_speed,pressure,visibility\nb.jpg,21.5,40,3.2,1013,10\n"),
        ("exif.csv", "FileName,FocalLength,ISO,FNumber,ExposureTime,XResolution\nb.jpg,24,99,2.8,.01,72\n"),
        ("quality.csv", "filename,sharpness,brightness,contrast,entropy,blur\nb.jpg,1.5,2.5,3.5,4,5\n"),
        ("notes.csv", "filename,taken\nb.jpg,2013-11-14 11:18:45\n"),
        ("b.jpg.json", json.dumps({"title": "b.jpg", "geoData": {"latitude": 1.5, "longitude": 2.5, "altitude": 3.5,
                                   "latitudeSpan": 0.5, "longitudeSpan": 0.5}})),
        ("info.json", json.dumps({"images": [{"file_name": "b.jpg", "width": 9, "height": 9, "license": 1, "id": 1,
                                  "date_captured": "2013-11-14 11:18:45", "url": "http://x.org/8/81_4_z.jpg"}]})),
        ("tags.json", json.dumps({"b.jpg": {"car": True, "marks": [0, 1, 0, 1, 0]}})),
        ("camera.json", json.dumps({"K": [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "dist": [1, 2, 3, 4, 5]})),
        ("b.jpg.aux.xml", "<PAMDataset><GeoTransform>4, 6, 0, 3, 0, 6</GeoTransform></PAMDataset>"),
        ("train.log", "b.jpg 1 2 3 4 5\n"),
        ("README.dataset.txt", "2 classes: b.jpg is one of 1,000 at 640 x 640, 3 4 5\nThere are\nothers\n"),
        ("boxes.txt", "100 boxes (50 x 40 x 30 cm) of nuts, 2 of bolts\n"),
        ("README", "b.jpg is 1 of 9, class 0, at 5 5 2 4\n"),
        ("LICENSE.txt", "b.jpg 1 2 3 4 5\n"),
        ("images/b.txt", "a photo of 2 cars on 3 roads\n"),
        ("images/b.txt", "2 cars, 3 vans\n"),
        ("hints.txt", "in b.jpg there are 3 of 4 cars, 1 of 2 vans and no bus\n"),
        ("b.txt.log", "1 2 3 4 5\n"),
        ("run.yaml", "source: x\nbox: 7.5\nimgsz: [1, 2, 3, 4]\n"),
        ("x.yaml", "names: {0: k, null: m}\non: [1, 2, 3, 4]\ntaken: 0000-00-00\n"),
        ("x.yaml", "a: &a [*a, {b.jpg: *a}]\n"),
        ("x.yaml", "b.jpg: " + "[" * 40_000),
        ("x.yaml", "k: &k [1, 2, 3, 4]\n" + "".join(f"{two}: &{two} [{9 * f'*{one}, '}]\n" for one, two in BOMB)),
        ("runs/args.yaml", "source: b.jpg\nbox: 7.5\n"),
        ("benchmark.json", json.dumps({"box": 1, "bbox": 2.5})),
        ("dataset_infos.json", json.dumps({"x": {"features": {"objects": {"bbox": {"dtype": "float32"}}}}})),
        ("sample_submission.csv", "ImageId,EncodedPixels\nb.jpg,1 1 2 2\n"),
        ("run.yaml", "image: b.jpg\nsize: [640, 480]\nseed: 3\n"),
        ("places.csv", "image,x,y\nb.jpg,4000123.5,5600321.5\n"),
        ("b.xml", "<scan><width>9</width><height>9</height><exposure>3</exposure><iso>100</iso></scan>"),
        ("track.gpx", "<gpx><trk><trkpt lat='5.1' lon='6.1'/><trkpt lat='5.2' lon='6.2'/></trk></gpx>"),
        ("b.jgw", "1.0\n0.0\n0.0\n1.0\n5.5\n6.6\n"),
        ("list.txt", "images/b.jpg 0\nimages/c.jpg 1\n"),
        ("model.bin.gz", "x"),
        ("route.geojson", json.dumps({"features": [{"geometry": {"type": "LineString", "coordinates": POINTS}}]})),
    ],
)  # fmt: skip
def test_companion_that_names_an_image_or_holds_numbers_stops_nothing(tmp_path: Path, name: str, text: str) -> None:
    parsed = run(export_of(tmp_path, YOLO | {"images/results.jpg": "r", "labels/results.txt": ROW, name: text}))
    assert len(parsed.images) == 2


def test_packed_labels_are_named_whatever_is_in_them(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, {"b.jpg": ""})
    (raw / "export" / "b.csv.gz").write_bytes(gzip.compress(b"filename,class,xmin,ymin,xmax,ymax\n"))
    with pytest.raises(PipelineError, match=r"packed within an export.*b\.csv\.gz"):
        run(raw)


@pytest.mark.parametrize(
    "mask",
    [
        "masks/b.png",
        "masks/b.jpg",
        "SegmentationClass/b.jpeg",
        "images/b_mask.webp",
        "train/masks/b.png",
        "gtFine/b_gtFine_labelIds.png",
        "labels/b_mask.png",
        "images/b_mask.png",
    ],
)
def test_masks_of_images_without_other_labels_stop_the_run(tmp_path: Path, mask: str) -> None:
    raw = beside_sound_labels(tmp_path, {"images/b.jpg": ""})
    write_image(raw / "export" / mask)
    with pytest.raises(PipelineError, match=rf"1 label masks, which are not read: .*{Path(mask).parent}"):
        run(raw)


def test_masks_beside_other_labels_of_their_images_are_noted(tmp_path: Path) -> None:
    raw = export_of(tmp_path, YOLO)
    write_image(raw / "export" / "masks" / "b.png")
    write_image(raw / "export" / "depth" / "b.png")
    parsed = run(raw)
    assert parsed.ledger.exports["export"].notes == ["1 label masks in export/masks are not read, only boxes are"]


def test_pictures_of_one_stem_in_folders_of_other_names_are_no_masks(tmp_path: Path) -> None:
    raw = beside_sound_labels(tmp_path, YOLO)
    for name in ("unlabelled/b.png", "night/b.png", "night/b_segment.png"):
        write_image(raw / "export" / name)
    assert len(run(raw).images) == 2
