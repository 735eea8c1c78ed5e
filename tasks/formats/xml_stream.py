"""XML as a stream of elements, with constant memory, and with every document type refused.

Entities, internal or external, can only be declared in a document type; CVAT and VOC never write one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from lxml import etree

from tasks.contracts.errors import PipelineError

_CHUNK_BYTES = 1 << 16
_LIMITED_BYTES = 10_000_000  # of one value, by libxml2


class StartTarget(Protocol):
    """What hears only of elements that open."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element opens."""


@runtime_checkable
class ElementTarget(StartTarget, Protocol):
    """What hears of elements as they are read."""

    def end(self, tag: str) -> None:
        """An element closes."""

    def data(self, text: str) -> None:
        """Text, possibly in several pieces."""


class _Refusing:
    """Hands elements on to a target, and stops at a document type."""

    def __init__(self, target: StartTarget | ElementTarget) -> None:
        # Bound methods are looked up once, and only those that are there: they are called for every element.
        self.start = target.start
        if isinstance(target, ElementTarget):
            self.end, self.data = target.end, target.data

    def doctype(self, name: str, _public_id: str | None, _system_id: str | None) -> None:
        raise DocumentTypeError(name)

    def close(self) -> None:
        """Do nothing: there is no result."""


class DocumentTypeError(Exception):
    """The document declares a type."""


def feed(path: Path, target: StartTarget | ElementTarget) -> Iterator[None]:
    """Read a file into `target`, yielding after every 64 KiB so that the caller can take what was found.

    Raises PipelineError if it is not well-formed XML, is cut short, or declares a document type.
    """
    parser = etree.XMLParser(
        target=_Refusing(target),  # type: ignore[arg-type]  # lxml's stubs ask for handlers that it calls only if there
        # With False, lxml hands `&amp;` in attributes on as `&#38;`. No entity can be declared, see above.
        resolve_entities="internal",  # type: ignore[arg-type]  # lxml's stubs know no third value yet
        no_network=True,
        load_dtd=False,
        # Its limits are those of a value too, and the runs of one mask may take more than 10 MB. What the limits are
        # there for, a small document that grows, is refused above; a large one is as large as it says.
        huge_tree=path.stat().st_size > _LIMITED_BYTES,
    )
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                parser.feed(chunk)
                yield
        parser.close()
    except DocumentTypeError as error:
        raise PipelineError(
            f"XML declares a document type ({error}), through which entities could be smuggled in",
            str(path),
            "CVAT writes none: export the labels again",
        ) from error
    except etree.XMLSyntaxError as error:
        raise PipelineError("XML cannot be read", f"{path}: {error.msg}", "Export the labels again") from error
    yield


def root_tag(path: Path) -> str:
    """The name of a document's first element; the rest is not read."""
    target = _Root()
    try:
        for _ in feed(path, target):
            pass
    except _RootRead:
        pass
    return target.tag


class _RootRead(Exception):  # noqa: N818 - not an error: the rest of the file is not needed
    """Raised to end the reading once the first element is known."""


class _Root:
    """Stops at the first element."""

    tag = ""

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self.tag = tag
        raise _RootRead

    def end(self, tag: str) -> None:
        """Not reached: the first element ends the reading."""

    def data(self, text: str) -> None:
        """Do nothing: there is no result."""


class _Tree:
    """Builds a tree of all elements."""

    def __init__(self) -> None:
        self._builder = etree.TreeBuilder()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._builder.start(tag, dict[str | bytes, str | bytes](attributes.items()))

    def end(self, tag: str) -> None:
        self._builder.end(tag)

    def data(self, text: str) -> None:
        self._builder.data(text)

    def close(self) -> etree._Element:
        return self._builder.close()


def read_tree(path: Path) -> etree._Element:
    """Read a small document whole; the same documents are refused."""
    tree = _Tree()
    try:
        for _ in feed(path, tree):
            pass
    except ValueError as error:  # of names that the parser lets pass, and trees do not
        raise PipelineError("XML cannot be read", f"{path}: {error}", "Export the labels again") from error
    return tree.close()
