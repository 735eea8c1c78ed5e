"""The library trains on what the tables say, decoded as every stage decodes, and writes nothing beside it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from tasks.contracts.digests import content_sha256
from tasks.contracts.errors import PipelineError
from tasks.contracts.tables import BOX
from tasks.dataset.decoding import Image, read_image
from tasks.detectors.protocol import USE_CASE_METRIC, Figures
from tasks.detectors.ultralytics_data import TableDataset, labels_of
from tasks.detectors.ultralytics_library import YOLO, YOLODataset, ultralytics
from tests.fixtures.training import draw_data, read_data, tiny_recipe, train_tiny

SIDE = 64


def save_rotated(path: Path, pixels: Image) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # the camera was held upright: a quarter turn to the right shows it
    PillowImage.fromarray(pixels).save(path, exif=exif, quality=95)


def save_grey(path: Path, pixels: Image) -> None:
    PillowImage.fromarray(pixels).convert("L").save(path)


def save_deep(path: Path, pixels: Image) -> None:
    cv2.imwrite(str(path), pixels.astype(np.uint16) * 257)


def save_plain(path: Path, pixels: Image) -> None:
    PillowImage.fromarray(pixels).save(path)


def dataset_of(path: Path, width: int, height: int, boxes: list[list[float]]) -> TableDataset:
    images = pd.DataFrame({"image_id": ["a"], "path": [str(path)], "width": [width], "height": [height]})
    objects = pd.DataFrame([["a", "nut", *box] for box in boxes], columns=["image_id", "label", *BOX])
    settings = ultralytics.utils.IterableSimpleNamespace(**vars(ultralytics.cfg.get_cfg()))
    return TableDataset(images, objects, ["bolt", "nut"], stretch=False, imgsz=SIDE, augment=False, hyp=settings)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        pytest.param("rotated.jpg", save_rotated, id="with an EXIF orientation"),
        pytest.param("grey.png", save_grey, id="grey"),
        pytest.param("deep.png", save_deep, id="of 16 bits"),
        pytest.param("schräg.png", save_plain, id="with a name that is not ASCII"),
    ],
)
def test_an_image_reaches_the_network_as_every_stage_decodes_it(
    name: str, save: Callable[[Path, Image], None], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (SIDE // 2, SIDE, 3)).astype(np.uint8)
    save(tmp_path / name, pixels)
    decoded = read_image(tmp_path / name)
    height, width = decoded.shape[:2]
    item = dataset_of(tmp_path / name, width, height, [])[0]
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    shown = item["img"].numpy().transpose(1, 2, 0)
    assert (shown[top : top + height, left : left + width] == decoded).all()
    assert (np.delete(shown, np.s_[top : top + height], axis=0) == 114).all()


def test_boxes_keep_their_place_in_the_letterboxed_image(tmp_path: Path) -> None:
    save_plain(tmp_path / "wide.png", np.zeros((100, 200, 3), dtype=np.uint8))
    item = dataset_of(tmp_path / "wide.png", 200, 100, [[50.0, 20.0, 150.0, 80.0]])[0]
    centre_and_size = item["bboxes"][0].numpy() * SIDE
    # 200 pixels become 64, so a pixel 0.32, and 16 rows of grey stand above.
    assert centre_and_size == pytest.approx([100 * 0.32, 50 * 0.32 + 16, 100 * 0.32, 60 * 0.32], abs=1e-4)
    assert item["cls"].tolist() == [[1.0]]


def test_one_file_under_two_ids_keeps_the_labels_of_each() -> None:
    images = pd.DataFrame({"image_id": ["a", "b"], "path": ["x", "x"], "width": [10, 10], "height": [10, 10]})
    rows = [["b", "nut", 0.0, 0.0, 5.0, 5.0], ["b", "nut", 0.0, 0.0, 5.0, 5.0]]
    labels = labels_of(images, pd.DataFrame(rows, columns=["image_id", "label", *BOX]), ["nut"])
    assert [(label["im_file"], len(label["cls"])) for label in labels] == [("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("content", "what"), [(b"\xff\xd8\xff", "cannot be decoded any more"), (None, "is not there any more")]
)
def test_an_image_that_is_lost_since_the_tables_were_written_is_named(
    content: bytes | None, what: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "cut.jpg").write_bytes(content)
    with pytest.raises(PipelineError, match=rf"image {what}: .*cut\.jpg\. Bring it back, or run ingest and parse"):
        dataset_of(tmp_path / "cut.jpg", 10, 10, [])[0]


def test_images_that_do_not_fit_into_memory_are_answered_with_the_knob_that_keeps_them_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = draw_data(tmp_path / "data")

    def no_memory(_images: list[Image]) -> None:
        raise MemoryError

    monkeypatch.setattr(YOLODataset, "_ImageCache", staticmethod(no_memory))
    with pytest.raises(PipelineError, match=r"do not fit into memory: .*Set train\.cache: none"):
        train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, cache="ram"))


def test_training_leaves_its_input_alone_even_a_jpeg_that_the_library_would_mend(tmp_path: Path) -> None:
    drawn = draw_data(tmp_path / "data")
    table = pd.read_parquet(drawn / "annotations" / "images.parquet")
    for name in table["name"]:
        path = drawn / "raw" / str(name)
        PillowImage.fromarray(read_image(path)).save(path, format="JPEG")
        path.write_bytes(path.read_bytes() + b"\0")  # it saves again what does not end as JPEG should
    before = content_sha256(drawn)
    train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, epochs=1))
    assert content_sha256(drawn) == before


def test_predictions_on_val_are_in_pixels_of_the_image_as_the_library_itself_predicts(tmp_path: Path) -> None:
    drawn = draw_data(tmp_path / "data", side=100)
    seen: list[pd.DataFrame] = []

    def keep(predictions: pd.DataFrame) -> Figures:
        seen.append(predictions)
        return {USE_CASE_METRIC: float(len(seen))}

    trained = train_tiny(drawn, tmp_path / "work", tiny_recipe(drawn, epochs=6), measure=keep)
    image = read_data(drawn).val.iloc[0]
    ours = seen[-1][seen[-1]["image_id"] == image["image_id"]].nlargest(5, "score")
    result = YOLO(str(trained.weights)).predict(
        image["path"], imgsz=64, conf=0.001, iou=0.7, max_det=300, rect=False, device="cpu", verbose=False
    )[0]
    theirs = result.boxes.xyxy[:5].numpy()
    assert ours[BOX].to_numpy() == pytest.approx(theirs, abs=0.01)
    assert ours["score"].to_numpy() == pytest.approx(result.boxes.conf[:5].numpy(), abs=1e-4)


def test_training_library_leaves_pillow_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "junk.png").write_text("no image")
    with pytest.raises(UnidentifiedImageError):
        PillowImage.open(tmp_path / "junk.png")
