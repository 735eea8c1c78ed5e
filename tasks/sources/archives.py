"""Zip archives of other people: looked through first, unpacked only when nothing in them can do harm."""

import lzma
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from pydantic import Field
from tqdm import tqdm

from tasks.contracts.params import Params

ENCRYPTED = 0x1  # general purpose bit 0
UTF8 = 0x800  # general purpose bit 11
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
NAME_BYTES = 255  # longest file name that common file systems take
CHUNK_BYTES = 1 << 20
# Left by file managers, never part of an export.
LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}


class Limits(Params):
    """How much one export may hold, so that a hostile or mistaken archive cannot fill the disk."""

    max_files: int = Field(ge=1, description="most files in one export")
    max_gigabytes: float = Field(gt=0, description="most GB (1e9 bytes) in one export, unpacked")
    max_ratio: float = Field(gt=1, description="most unpacked bytes per byte of a zip; beyond, it is taken for a bomb")

    def faults(self, files: int, size_bytes: int, packed_bytes: int | None = None) -> list[str]:
        """What of these counts is beyond a limit; `packed_bytes` is null for a folder."""
        found = []
        if files > self.max_files:
            found.append(f"holds {files:,} files, ingest.max_files is {self.max_files:,}")
        if size_bytes > self.max_gigabytes * 1e9:
            found.append(f"holds {size_bytes / 1e9:,.3g} GB, ingest.max_gigabytes is {self.max_gigabytes:g}")
        if packed_bytes is not None and size_bytes > self.max_ratio * packed_bytes:
            ratio = size_bytes / packed_bytes
            found.append(f"unpacks to {ratio:,.0f} times its size, ingest.max_ratio is {self.max_ratio:g}")
        return found


class ArchiveError(Exception):
    """A zip that is not unpacked; `faults` has one line per entry or limit."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def unpack(archive: Path, folder: Path, limits: Limits) -> tuple[int, int]:
    """Unpack a zip into `folder`, which is made; returns its files and bytes.

    All that the zip's directory can tell is checked before a byte is written: names that leave the folder or fall
    together, links and devices, encryption, the limits. While writing, each entry's CRC is. Directory sizes bound what
    is written, as no entry yields more than it declares.
    Raises ArchiveError with all faults; what `folder` holds then is the caller's to remove.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            has_slashes = any("/" in entry.orig_filename for entry in opened.infolist())
            named = [(_name(entry, has_slashes=has_slashes), entry) for entry in opened.infolist()]
            entries = [(name, entry) for name, entry in named if not _is_litter(name)]
            files = [(name, entry) for name, entry in entries if not name.endswith("/")]
            size_bytes = sum(entry.file_size for _, entry in files)
            faults = [f"{name!r} {fault}" for name, entry in entries if (fault := _entry_fault(entry))]
            faults += name_faults([name for name, _ in entries])
            faults += [] if files else ["holds no files"]
            faults += limits.faults(len(files), size_bytes, archive.stat().st_size)
            faults = faults or list(_write(opened, files, folder))
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        faults = [f"is not a sound zip ({error})"]
    except NotImplementedError as error:
        faults = [f"is a zip of a kind that is not supported ({error})"]
    if faults:
        raise ArchiveError(faults)
    return len(files), size_bytes


def _name(entry: zipfile.ZipInfo, *, has_slashes: bool) -> str:
    """The entry's name as it was meant: many tools write UTF-8 without the flag that says so.

    has_slashes: whether names of the zip are divided as the format wants it.
    """
    name = entry.orig_filename
    if not entry.flag_bits & UTF8:
        with suppress(UnicodeError):
            return name.encode("cp437").decode("utf-8").replace("\\", "/")
        if has_slashes:
            # In Japanese and Chinese it is the second half of some letters.
            name = re.sub(r"(?<=[^\0-\x7f])\\", "%5C", name)
    # Some tools of Windows write its own separator, against the format's rules.
    return name.replace("\\", "/")


def _is_litter(name: str) -> bool:
    # `._name` is what macOS keeps beside `name`.
    return any(part in LITTER or part.startswith("._") for part in name.split("/"))


def _entry_fault(entry: zipfile.ZipInfo) -> str | None:
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in COMPRESSIONS:
        return f"is compressed by method {entry.compress_type}, which is not supported"
    return None


def name_faults(names: list[str]) -> list[str]:
    """Paths that leave their folder, that no file system takes, or that fall together; a folder's path ends in /."""
    faults = [f"{name!r} {fault}" for name in names if (fault := _name_fault(name))]
    seen: dict[str, str] = {}
    for name in (name for name in names if not name.endswith("/")):
        # The same file, where a file system ignores case or composes accents.
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            faults.append(f"{name!r} and {seen[key]!r} are one file where case is ignored")
        seen[key] = name
    for name in names:
        faults += [f"{parent} is a file and a folder" for parent in PurePosixPath(name).parents if str(parent) in seen]
    return faults


def _name_fault(name: str) -> str | None:
    if any("\ud800" <= letter <= "\udfff" for letter in name):  # how Python shows bytes that are no UTF-8
        return "has a name that is not UTF-8"
    parts = name.removesuffix("/").replace("\\", "/").split("/")
    if "\0" in name or PureWindowsPath(name).drive or any(part in ("", ".", "..") for part in parts):
        return "has a name that could leave its folder"
    if "\\" in name:
        return "has a backslash in its name, as if unpacked by a tool that does not know it for a separator"
    if any(len(part.encode()) > NAME_BYTES for part in parts):
        return f"has a name longer than {NAME_BYTES} bytes"
    return None


def _write(opened: zipfile.ZipFile, files: list[tuple[str, zipfile.ZipInfo]], folder: Path) -> Iterator[str]:
    """Write the files, giving a line for each whose bytes are not those that were packed."""
    folder.mkdir()
    total = sum(entry.file_size for _, entry in files)
    with tqdm(total=total, desc="unpack", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for name, entry in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with opened.open(entry) as packed, path.open("xb") as file:
                    while chunk := packed.read(CHUNK_BYTES):
                        file.write(chunk)
                        bar.update(len(chunk))
            except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
                yield f"{name!r} is damaged ({error})"
            except NotImplementedError as error:
                yield f"{name!r} is packed in a way that is not supported ({error})"
