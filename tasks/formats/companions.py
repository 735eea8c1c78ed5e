"""Files that lie beside images and are no labels by their name: programs, documents, media, weights, point clouds."""

import re
from pathlib import PurePosixPath

from tasks.formats.written_paths import is_image

# Texts about a data set or a training, and programs.
_TEXTS = frozenset(
    {
        *(".md", ".rst", ".log", ".html", ".htm", ".css", ".js", ".tex", ".ipynb", ".svg", ".kml", ".gpx"),
        *(".py", ".sh", ".bat", ".m", ".cfg", ".conf", ".toml", ".ini", ".lock", ".names", ".data", ".cache"),
    }
)
_DOCUMENTS = frozenset({".pdf", ".doc", ".docx", ".ppt", ".pptx", ".odt", ".odp", ".rtf", ".eps", ".ps", ".djvu"})
_MEDIA = frozenset(
    {
        *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".h264", ".h265", ".insv"),
        *(".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac"),
        # Pictures of cameras and of other programs; what an image is, `is_image` says.
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".psd", ".xcf", ".ai", ".ico", ".icns"),
        *(".exr", ".hdr", ".pfm", ".flo", ".pbm", ".ovr"),
    }
)
_OF_MACHINES = frozenset(
    {
        *(".pyc", ".pyd", ".so", ".dll", ".exe", ".o", ".a", ".lib", ".class", ".jar", ".whl", ".deb", ".rpm", ".apk"),
        *(".ttf", ".otf", ".woff", ".woff2", ".lnk", ".swp", ".ds_store"),
    }
)
_WEIGHTS = frozenset(
    {
        *(".pt", ".pth", ".ckpt", ".onnx", ".weights", ".engine", ".plan", ".trt", ".pb", ".tflite", ".safetensors"),
        *(".caffemodel", ".mlmodel", ".torchscript", ".keras", ".params", ".bin", ".hailo", ".hef", ".rknn", ".blob"),
    }
)
_POINT_CLOUDS = frozenset({".pcd", ".ply", ".las", ".laz", ".e57", ".stl", ".obj", ".fbx", ".glb", ".bag", ".mcap"})
_COMPANIONS = _TEXTS | _DOCUMENTS | _MEDIA | _OF_MACHINES
# Other files of these endings are labels where they lie among labels, such as SemanticKITTI's or tensors of boxes.
_IF_ELSEWHERE = _WEIGHTS | _POINT_CLOUDS
_ABOUT = frozenset({"readme", "license", "licence", "copying", "notice", "citation", "changelog", "changes", "authors"})
_DATA = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml"})
_LITTER = re.compile(r"^\._|^thumbs\.db$|^lock\.mdb$|^ehthumbs|tfevents", re.IGNORECASE)  # of machines and trainings


def is_companion(path: str, *, is_in_label_folder: bool = False) -> bool:
    """Whether a file is no labels by its name, so that nobody needs to look into it."""
    name = PurePosixPath(path).name
    suffix = PurePosixPath(path).suffix.lower() or name.lower()
    if _LITTER.search(name) or suffix in _COMPANIONS:
        return True
    return suffix in _IF_ELSEWHERE and not is_in_label_folder


def is_about(path: str) -> bool:
    """Whether a file tells of a data set, as README and LICENSE do, by its name."""
    name = PurePosixPath(path).name.lower()
    return name.split(".")[0] in _ABOUT and PurePosixPath(name).suffix not in _DATA


def could_hold_labels(path: str) -> bool:
    """Whether a file of this name in an archive could be labels; nobody looks into it."""
    is_folder = path.endswith("/")
    return not (is_folder or is_image(path) or is_companion(path) or is_about(path))
