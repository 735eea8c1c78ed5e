"""Images and boxes of the canonical tables as the training library's data set, without a copy on disk.

The library's own reader scans folders, writes caches beside the images and repairs JPEGs in place; this one reads what
the tables name, decodes as every stage does, and writes nothing.
"""

import random
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import PipelineError
from tasks.contracts.tables import BOX
from tasks.dataset.decoding import read_listed_image
from tasks.detectors.ultralytics_library import YOLODataset
from tasks.detectors.ultralytics_memory import is_out_of_memory
from tasks.runtimes.machine import processors

Label = dict[str, Any]  # the library's form


def labels_of(images: pd.DataFrame, objects: pd.DataFrame, classes: Sequence[str]) -> list[Label]:
    """Labels in the library's form, in the order of `images`; the image_id stands where it wants a file.

    Boxes become centre and size relative to the image. Rows that are equal twice count once.
    """
    image_of = pd.Index(images["image_id"]).get_indexer(objects["image_id"])
    order = np.argsort(image_of, kind="stable")
    order = order[image_of[order] >= 0]  # objects of other images
    found = objects.iloc[order].assign(image=image_of[order])
    found = found[~found.duplicated(["image", "label", *BOX])]
    shape = images[["height", "width"]].to_numpy()
    box, size = found[BOX].to_numpy(dtype=np.float64), shape[found["image"], ::-1].astype(np.float64)
    centre, extent = (box[:, :2] + box[:, 2:]) / 2 / size, (box[:, 2:] - box[:, :2]) / size
    number = pd.Index(classes).get_indexer(found["label"])
    ends = np.cumsum(np.bincount(found["image"], minlength=len(images)))[:-1]
    return [
        {
            "im_file": image_id,
            "shape": (height, width),
            "cls": of_image[:, :1],
            "bboxes": of_image[:, 1:],
            "segments": [],
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }
        for image_id, (height, width), of_image in zip(
            images["image_id"],
            shape.tolist(),
            np.split(np.column_stack([number, centre, extent]).astype(np.float32), ends),
            strict=True,
        )
    ]


class TableDataset(YOLODataset):  # type: ignore[misc]
    """The library's data set over rows of tables."""

    def __init__(
        self, images: pd.DataFrame, objects: pd.DataFrame, classes: Sequence[str], stretch: bool, **settings: Any
    ) -> None:
        self.stretch = stretch  # to the square of the image size, in place of keeping the aspect ratio
        self.ims: Any  # a list, or the library's one block of memory
        self.im_hw0: list[Any]
        self.im_hw: list[Any]
        self._paths = [str(path) for path in images["path"]]
        self._labels = labels_of(images, objects, classes)
        super().__init__(img_path="", data={"names": dict(enumerate(classes)), "channels": 3}, **settings)

    def get_img_files(self, img_path: str) -> list[str]:  # noqa: ARG002
        """Paths of the images, from the table; the library would look through folders."""
        return self._paths

    def get_labels(self) -> list[Label]:
        """Labels in the order of the paths."""
        return self._labels

    def cache_images(self) -> None:
        """Read all images into memory; the library's own way draws a bar whoever looks."""
        try:
            with ThreadPool(processors()) as pool:
                read = pool.map(self.load_image, range(self.ni))
            images, self.im_hw0, self.im_hw = (list(column) for column in zip(*read, strict=True))
            self.ims = self._ImageCache(images)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise PipelineError(
                "images do not fit into memory", f"train.cache: ram, {self.ni} images", "Set train.cache: none"
            ) from error

    def load_image(
        self,
        i: int,
        rect_mode: bool = True,  # noqa: ARG002
        resize_short: bool = False,  # noqa: ARG002
    ) -> tuple[NDArray[np.uint8], tuple[int, int], tuple[int, int]]:
        """An image (BGR) with its long side, or both, at the image size, its (height, width) before and after."""
        if self.ims[i] is not None:
            return self.ims[i], self.im_hw0[i], self.im_hw[i]
        image = cv2.cvtColor(read_listed_image(Path(self.im_files[i])), cv2.COLOR_RGB2BGR)
        height, width = image.shape[:2]
        size_wh = self._resized_wh(width, height)
        if size_wh != (width, height):
            image = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
        if self.augment and self.cache != "ram":
            self._remember(i, image, (height, width))
        return np.asarray(image, dtype=np.uint8), (height, width), image.shape[:2]

    def _resized_wh(self, width: int, height: int) -> tuple[int, int]:
        if self.stretch:
            return self.imgsz, self.imgsz
        ratio = self.imgsz / max(height, width)
        return min(int(np.ceil(width * ratio)), self.imgsz), min(int(np.ceil(height * ratio)), self.imgsz)

    def _remember(self, i: int, image: NDArray[np.uint8], hw: tuple[int, int]) -> None:
        """Keep the image for the mosaics to come; the oldest one goes."""
        self.ims[i], self.im_hw0[i], self.im_hw[i] = image, hw, image.shape[:2]
        if i in self.buffer:
            return  # it was there already, though not in memory
        self.buffer.append(i)
        if 1 < len(self.buffer) >= self.max_buffer_length:
            oldest = self.buffer.pop(0)
            self.ims[oldest] = self.im_hw0[oldest] = self.im_hw[oldest] = None

    def draw_buffer(self) -> None:
        """Fill the buffer with a draw from all images.

        For loaders in processes of their own, which end with an epoch: theirs would begin each epoch with an empty one.
        """
        self.restore_buffer(random.sample(range(self.ni), k=max(1, self.max_buffer_length - 1)))

    def restore_buffer(self, indices: list[int]) -> None:
        """Make these the images that mosaics take their others from; they are read when they are asked for."""
        if self.cache != "ram":
            self.ims, self.im_hw0, self.im_hw = [None] * self.ni, [None] * self.ni, [None] * self.ni
            self.buffer = indices
