"""What each rule means and what a labeller does about it: one sentence each."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class RuleText(NamedTuple):
    """The words of one rule."""

    meaning: str
    hint: str


class RowWords(NamedTuple):
    """What a finding says of a row that fails an expectation."""

    value: str | None  # the column with what was measured
    message: Callable[[Any, Mapping[str, Any]], str]  # of the row and of the expectation's arguments


RULES: dict[str, RuleText] = {
    # The tables themselves
    "image_id_not_unique": RuleText("Two images have one id.", "Rename one of the exports or images, and parse again."),
    "object_id_not_unique": RuleText(
        "Two objects have one id.", "Remove the export that is there twice, and parse again."
    ),
    "object_without_image": RuleText("An object belongs to no image.", "Export its task from CVAT again."),
    "image_listed_twice": RuleText("A task lists one image twice.", "Remove one of the two exports of the task."),
    "image_size_not_positive": RuleText("An image has no width or height.", "Replace the image file."),
    "box_outside_image": RuleText("A box leaves its image.", "Move the box inside the image."),
    "box_without_area": RuleText("A box has no area.", "Draw the box again or delete it."),
    "label_blank": RuleText("An object has an empty label.", "Choose a label for it."),
    "unknown_label": RuleText("A label is not among the known classes.", "Correct it, or add it to check.labels."),
    # Images
    "missing_images": RuleText(
        "Labels speak of images that have no file.",
        "Put the image files beside the labels, or raise check.max_missing_share.",
    ),
    "nearly_named_images": RuleText(
        "A file's name differs in case, ending or encoding from what its labels say.",
        "See whether the names are right.",
    ),
    "ambiguous_images": RuleText(
        "It is not certain which image file is meant.", "Name files as CVAT does, or export the task with its images."
    ),
    "unreadable_image": RuleText(
        "A file is no image that can be decoded.", "Replace it, or raise check.max_unreadable_share."
    ),
    "image_too_large": RuleText(
        "An image has more pixels than are decoded.", "Divide it into smaller ones, or raise parse.max_megapixels."
    ),
    "truncated_image": RuleText("A file ends before its image does.", "Copy the file again from where it came."),
    "unused_bits": RuleText(
        "An image uses few of its 16 bits, and is read too dark.", "Scale it to its full range, or save it with 8 bits."
    ),
    "damaged_image": RuleText(
        "A JPEG decodes, but not without complaint.", "Look at it; if part is grey or shifted, copy the file again."
    ),
    "image_size_differs": RuleText(
        "An image has another size than its labels say.", "Replace the image or label it again."
    ),
    "label_size_differs": RuleText(
        "Labels give another size than the image has.",
        "If boxes do not fit, put the files there that were labelled (or take the turn out of their EXIF); "
        "if they fit, correct the size in the labels.",
    ),
    "files_without_labels": RuleText(
        "Image files are in no label file.", "See whether a task was left out of the export."
    ),
    "duplicate_image": RuleText("The same file stands twice.", "Keep one of the two."),
    "duplicate_image_other_labels": RuleText(
        "The same file stands twice, with different labels.", "Keep the one that is labelled right."
    ),
    "near_duplicate_images": RuleText(
        "Images of different scenes are the same picture.", "Nothing to do: they are kept in one split."
    ),
    "near_duplicates_in_scene": RuleText(
        "Images of one scene are the same picture.", "If there are many, label fewer frames: they teach little."
    ),
    "blurred_image": RuleText("An image is out of focus or moved.", "Leave it out if its objects cannot be told."),
    "dark_image": RuleText("An image is almost black.", "Leave it out if its objects cannot be told."),
    "low_contrast_image": RuleText("An image is almost one grey.", "Leave it out if its objects cannot be told."),
    "odd_image_size": RuleText("An image has quite another size than the rest.", "See whether it belongs to the data."),
    "export_without_objects": RuleText(
        "No image of an export has an object.",
        "See ledger.json for what was dropped; if it is meant, name the export in check.allow_empty_exports.",
    ),
    "images_without_objects": RuleText("Many images have no object.", "See whether they were labelled at all."),
    # Labels
    "similar_labels": RuleText(
        "Two labels differ by little more than spelling.", "Merge them in CVAT or by parse.rename."
    ),
    "undeclared_label": RuleText(
        "An object's label is not in its task's list.", "Add it to the task's labels in CVAT."
    ),
    "class_without_objects": RuleText("A declared class has no object.", "Label some, or remove the class in CVAT."),
    "class_lost": RuleText(
        "All objects of a class are left out.", "Correct them in CVAT, or the parameter of parse that the reason names."
    ),
    "class_with_few_objects": RuleText("A class has too few objects to learn and measure.", "Label more of them."),
    "class_imbalance": RuleText("The most frequent class dwarfs a rare one.", "Label more images with the rare class."),
    "dropped_objects": RuleText(
        "Objects were dropped.", "See ledger.json for the reasons, or raise check.max_dropped_share."
    ),
    "ignored_objects": RuleText(
        "Objects are marked as a crowd or as difficult.",
        "Set parse.crowd_and_difficult if they are like others.",
    ),
    "clipped_boxes": RuleText("Boxes went over the border and were cut there.", "Nothing to do."),
    # Boxes
    "boxes_in_fractions": RuleText(
        "Boxes are given in fractions of the image.", "Export them in pixels, or as YOLO, which has fractions."
    ),
    "tiny_box": RuleText("A box is only a few pixels wide or high.", "Delete it if it was a slip of the hand."),
    "small_for_network": RuleText(
        "Most objects are smaller than the network can see.",
        "Raise train.image_size, or cut images and labels into tiles.",
    ),
    "huge_box": RuleText("A box fills nearly the whole image.", "See whether it is meant."),
    "duplicate_box": RuleText("An object is labelled twice.", "Delete one of the two boxes."),
    "box_under_two_labels": RuleText("One place has two labels.", "Delete the wrong one."),
    "odd_aspect_ratio": RuleText("A box has quite another shape than its class.", "See whether it fits its object."),
}
