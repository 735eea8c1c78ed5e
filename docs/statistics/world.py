"""A world whose truth is known: scenes that differ, objects in them, and detectors that find some.

A scene is easy or hard as a whole, by a draw with heavy tails (Student's t with 3 degrees of freedom on the logit
scale): for finding an object, for how well its box fits, and for false alarms. Two detectors look at the same scenes
and share most of their luck with an object. What comes out is the project's own `Matches`, as if boxes were matched.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from tasks.metrics.matching import IOU_THRESHOLDS, Floats, Ints, Matches

RARE = "crack"


@dataclass(frozen=True)
class World:
    """How test splits are drawn. Means of logits, in the order of `labels`."""

    scenes: int
    images: int = 5  # per scene
    objects: tuple[float, ...] = (2.5, 1.0)  # per image, of the frequent classes
    rare: float = 5.0  # objects of the last class in a whole test split
    rare_scenes: int | None = None  # scenes that hold it; None: any may
    found: tuple[float, ...] = (2.2, 1.5, 1.0)
    fit: tuple[float, ...] = (1.2, 0.8, 0.6)
    alarms: float = 0.5  # false ones per object
    unlike: float = 0.7  # scale of what scenes differ by
    even: float = 4.0  # shape of the gamma law of how full scenes are; below 1 a few scenes hold most objects

    @property
    def labels(self) -> list[str]:
        """The frequent classes, then the rare one."""
        return [*(f"bolt {number}" for number in range(len(self.objects))), RARE]

    @property
    def rates(self) -> Floats:
        """Objects per image of each class, (classes,)."""
        return np.array([*self.objects, self.rare / (self.scenes * self.images)])


@dataclass(frozen=True)
class Loss:
    """What a detector finds less of in some scenes."""

    share: float = 0.0  # of scenes in which it does
    depth: float = 1.0  # of their objects, how many it misses that it would have found
    rare_alone: bool = True  # the rare class, or else all


NO_LOSS = Loss()


@dataclass(frozen=True)
class Truth:
    """Objects of one draw of scenes, and what every detector meets in them."""

    world: World
    label: Ints  # (objects,)
    image: Ints
    ease: Floats  # (scenes,) added to the logit of finding
    snugness: Floats  # (scenes,) added to the logit of the IoU between 0.5 and 1
    clutter: Floats  # (scenes,) factor on false alarms
    luck: Floats  # (objects, 3) normal: found, fit and score, as far as detectors share it
    fate: Floats  # (scenes,) uniform: below a loss's share the scene is one of it

    @property
    def images(self) -> int:
        """All of them; image i is of scene i // world.images."""
        return self.world.scenes * self.world.images

    @property
    def scenes(self) -> list[str]:
        """The scene of each image."""
        return [f"{image // self.world.images:05}" for image in range(self.images)]


def draw_truth(world: World, rng: np.random.Generator) -> Truth:
    """Draw scenes with their objects; a rare class of which there would be none gets one."""
    ease, snugness = world.unlike * rng.standard_t(3, (2, world.scenes))
    clutter = np.exp(np.clip(0.5 * rng.standard_t(3, world.scenes), -2, 2))
    crowd = rng.gamma(world.even, 1 / world.even, world.scenes)  # some scenes are fuller than others
    images = world.scenes * world.images
    per_image = np.repeat(crowd, world.images)[:, None] * world.rates
    # A stream of its own: what is drawn without a loss is what was drawn before there were any.
    (apart,) = rng.spawn(1)
    if world.rare_scenes is not None:
        holding = np.zeros(world.scenes)
        holding[apart.permutation(world.scenes)[: world.rare_scenes]] = world.scenes / world.rare_scenes
        per_image[:, -1] = np.repeat(holding, world.images) * world.rates[-1]
    counts = rng.poisson(per_image)
    if not counts[:, -1].any():
        counts[rng.integers(images), -1] = 1
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    luck = rng.standard_normal((len(cell), 3))
    classes = len(world.labels)
    return Truth(world, cell % classes, cell // classes, ease, snugness, clutter, luck, apart.random(world.scenes))


def detect(
    truth: Truth, rng: np.random.Generator, better: float = 0.0, shared: float = 0.7, loss: Loss = NO_LOSS
) -> Matches:
    """What a detector finds. better: added to the logit of finding; shared: of its luck, the share that others have."""
    world, scene = truth.world, truth.image // truth.world.images
    classes = len(world.labels)
    luck = np.sqrt(shared) * truth.luck + np.sqrt(1 - shared) * rng.standard_normal(truth.luck.shape)
    chance = expit(np.array(world.found)[truth.label] + truth.ease[scene] + better)
    lossy = (truth.fate[scene] < loss.share) & ((truth.label == classes - 1) | (not loss.rare_alone))
    chance *= 1 - loss.depth * lossy
    hit = np.flatnonzero(ndtr(luck[:, 0]) < chance)
    iou = 0.5 + 0.5 * expit(np.array(world.fit)[truth.label] + truth.snugness[scene] + luck[:, 1])[hit]
    score = expit(1.5 + 0.5 * truth.ease[scene] + luck[:, 2])[hit]

    expected = np.repeat(truth.clutter, world.images)[:, None] * world.rates * world.alarms
    alarms = rng.poisson(expected)
    cell = np.repeat(np.arange(alarms.size), alarms.ravel())
    return _matches(
        truth,
        label=np.concatenate([truth.label[hit], cell % classes]),
        image=np.concatenate([truth.image[hit], cell // classes]),
        score=np.concatenate([score, expit(-0.5 + 1.2 * rng.standard_normal(len(cell)))]),
        found=np.concatenate([hit, np.full(len(cell), -1)]),
        iou=np.concatenate([iou, np.zeros(len(cell))]),
    )


def _matches(truth: Truth, *, label: Ints, image: Ints, score: Floats, found: Ints, iou: Floats) -> Matches:
    order = np.lexsort((-score, label))
    label = label[order]
    by_iou: NDArray[np.int32] = np.where(iou[order, None] >= IOU_THRESHOLDS, found[order, None], -1).astype(np.int32)
    return Matches(
        labels=truth.world.labels,
        ious=IOU_THRESHOLDS,
        start=np.searchsorted(label, np.arange(len(truth.world.labels) + 1)).astype(np.int64),
        row=order,
        image=image[order],
        score=score[order],
        found=by_iou,
        ignored=np.zeros(by_iou.shape, dtype=bool),
        truth_label=truth.label,
        truth_image=truth.image,
    )


def many_scenes(world: World, scenes: int) -> World:
    """The same world, drawn larger: objects of the rare class as frequent as before, in any scene."""
    return replace(world, scenes=scenes, rare=world.rare * scenes / world.scenes, rare_scenes=None)
