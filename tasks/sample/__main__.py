"""Draw the sample: parts on a conveyor belt, labelled and exported from CVAT as a team would.

Four cameras look at belts with washers, nuts and bolts. Some are cracked: the rare defect that must not be missed.
The light changes, oil, shavings and scraps lie about, and each camera has its own belt, tint and noise.

Out:  <to>/belt.zip         CVAT for images 1.1, a project of one task per camera; each sequence is a folder of frames:
                              images/camera_1/seq_03/frame_000012.jpg
                            ellipses (washers), polygons (nuts), rotated boxes (bolts), boxes at the border;
                            attributes surface (shiny, matt) and severity (minor, major)
      <to>/belt-video.zip   CVAT for video 1.1, a task of a fifth camera, one video as frames, tracks with `outside`

Planted in belt.zip, for the checks to find: an image that is a copy of one in another sequence, a truncated file, a
frame without light, one out of focus, the label "wahser", a box over the border, a box without area, a box drawn twice.

The same seed draws the same bytes.

Example: python -m tasks.sample --to samples
"""

import logging
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from tasks.execution.stage_command import run
from tasks.sample.cvat_export import LABELS, ImageFile, write_project, write_video
from tasks.sample.labelling import Seen, seen_in
from tasks.sample.planted_faults import MISTYPED, encoded, plant
from tasks.sample.scene import CAMERAS, Camera, sequence

log = logging.getLogger(__name__)

FRAMES_PER_SEQUENCE = 6
VIDEO_SHARE = 12  # one image in this many is a frame of the video
FIRST_TASK = 21
VIDEO_CAMERA = CAMERAS[-1]


def draw_project(images: int, seed: int) -> dict[str, list[ImageFile]]:
    """Pictures by task: sequences of the four cameras in turn, `images` altogether."""
    tasks: dict[str, list[ImageFile]] = {}
    for number, start in enumerate(range(0, images, FRAMES_PER_SEQUENCE)):
        camera = number % (len(CAMERAS) - 1)
        generator = np.random.default_rng([seed, number])
        count = min(FRAMES_PER_SEQUENCE, images - start)
        folder = f"camera_{camera + 1}/seq_{number // (len(CAMERAS) - 1) + 1:02d}"
        first_frame = int(generator.integers(0, 400))
        frames = sequence(CAMERAS[camera], count, generator.uniform(38, 50), generator)
        tasks.setdefault(f"Belt, camera {camera + 1}", []).extend(
            ImageFile(
                name=f"{folder}/frame_{first_frame + 4 * index:06d}.jpg",
                task_id=FIRST_TASK + camera,
                data=encoded(frame.image),
                shapes=[seen.shape for seen in seen_in(frame)],
            )
            for index, frame in enumerate(frames)
        )
    return tasks


def draw_video(camera: Camera, frames: int, seed: int) -> list[tuple[bytes, list[Seen]]]:
    """Frames of one video as PNG bytes, with what is seen in each."""
    generator = np.random.default_rng([seed, 1_000])
    return [
        (encoded(frame.image, ".png"), seen_in(frame, tracked=True))
        for frame in sequence(camera, frames, 14.0, generator)
    ]


def main(
    to: Annotated[Path, typer.Option(help="folder for the two exports")] = Path("samples"),
    images: Annotated[int, typer.Option(help="how many images, those of the video included", min=24)] = 420,
    seed: Annotated[int, typer.Option(help="another seed is another scene")] = 7,
) -> None:
    """Draw both label exports of the sample into a folder."""
    started = time.perf_counter()
    video_frames = images // VIDEO_SHARE
    tasks = draw_project(images - video_frames, seed)
    plant([picture for pictures in tasks.values() for picture in pictures])
    write_project(tasks, [*LABELS, MISTYPED], to / "belt.zip")
    write_video(draw_video(VIDEO_CAMERA, video_frames, seed), FIRST_TASK + 10, "Belt, camera 5", to / "belt-video.zip")
    log.info("drew %d images of parts on a belt to %s in %.1f s", images, to, time.perf_counter() - started)


if __name__ == "__main__":
    run(main)
