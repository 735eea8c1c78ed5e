"""Files that lie beside images and are no labels by their name: programs, documents, media, weights, point clouds."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from tasks.formats.image_paths import is_image

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
        *(".pef", ".srw", ".rwl", ".fff", ".gpr", ".thm", ".lrv", ".cot", ".lrcat", ".tga", ".dds", ".fits"),
        *(".exr", ".hdr", ".pfm", ".flo", ".pbm", ".ovr", ".3gp", ".mts", ".m2ts", ".ts", ".opus"),
    }
)
_OF_MACHINES = frozenset(
    {
        *(".pyc", ".pyd", ".so", ".dll", ".exe", ".o", ".a", ".lib", ".class", ".jar", ".whl", ".deb", ".rpm", ".apk"),
        *(".ttf", ".ttc", ".otf", ".eot", ".woff", ".woff2", ".lnk", ".swp", ".ds_store", ".torrent", ".sig", ".asc"),
        *(".part", ".crdownload", ".plist", ".wandb", ".blend", ".dwg", ".qgz", ".prj", ".cpg"),
    }
)
_WEIGHTS = frozenset(
    {
        *(".pt", ".pth", ".ckpt", ".onnx", ".weights", ".engine", ".plan", ".trt", ".pb", ".tflite", ".safetensors"),
        *(".index", ".meta", ".pdparams", ".pdmodel", ".gguf", ".dlc", ".mnn", ".om"),
        *(".caffemodel", ".mlmodel", ".torchscript", ".keras", ".params", ".bin", ".hailo", ".hef", ".rknn", ".blob"),
    }
)
_POINT_CLOUDS = frozenset(
    {".pcd", ".ply", ".las", ".laz", ".e57", ".stl", ".obj", ".fbx", ".glb", ".bag", ".mcap", ".db3", ".ulg", ".tlog"}
)
_COMPANIONS = _TEXTS | _DOCUMENTS | _MEDIA | _OF_MACHINES
# Other files of these endings are labels where they lie among labels, such as SemanticKITTI's or tensors of boxes.
_IF_ELSEWHERE = _WEIGHTS | _POINT_CLOUDS
_ABOUT = frozenset({"readme", "license", "licence", "copying", "notice", "citation", "changelog", "changes", "authors"})
_DATA = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml"})
# Of machines, trainings and competitions.
_LITTER = re.compile(
    r"^\._|^~\$|^thumbs\.db$|^lock\.mdb$|^ehthumbs|^icon\r$|@syno|^\.#|tfevents|\.data-\d+-of-\d+$|^sample_?submission"
    r"|^dataset_infos?\.json$",
    re.IGNORECASE,
)
# Folders that programs keep for themselves.
_FOLDERS = frozenset(
    {
        *(".git", ".svn", ".hg", ".dvc", ".cache", ".idea", ".vscode", ".venv", "__pycache__", "node_modules"),
        *(".ipynb_checkpoints", ".spotlight-v100", ".fseventsd", ".trashes", "__macosx", "@eadir"),
    }
)
_MASKS = re.compile(
    r"(^|[_\W])(masks?|gts?|gtfine|seg|segmentations?|labels?|annotations?)($|[_\W])|^segmentation(class|object)$",
    re.IGNORECASE,
)


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


def walk(folder: Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """`os.walk`, sorted, without what programs keep for themselves: nobody labels there."""
    for place, folders, names in os.walk(folder, onerror=onerror):
        folders[:] = sorted(name for name in folders if name.lower() not in _FOLDERS)
        yield Path(place), folders, sorted(name for name in names if not _LITTER.search(name))


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as those of label masks are."""
    return _MASKS.search(name) is not None


def could_hold_labels(path: str) -> bool:
    """Whether a file that nobody looks into, in an archive or behind a link, could be labels by its name."""
    if is_image(path):
        return any(map(is_mask_folder, path.split("/")[:-1]))
    return not (path.endswith("/") or is_companion(path) or is_about(path))
