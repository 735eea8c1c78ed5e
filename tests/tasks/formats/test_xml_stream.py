"""XML that is refused before it can do harm."""

from pathlib import Path

import pytest

from tasks.contracts.errors import PipelineError
from tasks.formats import xml_stream

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def start(self, tag: str, _attributes: object) -> None:
        self.heard.append(tag)

    def end(self, tag: str) -> None:
        pass

    def data(self, text: str) -> None:
        self.heard.append(text)


@pytest.mark.parametrize(
    "document",
    [
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><annotations><v>&l9;</v></annotations>'.encode(),
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotations><v>&x;</v></annotations>',
        b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><annotations/>',
        b'<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotations/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "ha">]><annotations v="&x;"/>'.encode("utf-16"),
    ],
    ids=["entity expansion", "external entity", "parameter entity", "external type", "type behind another encoding"],
)
@pytest.mark.parametrize("padding", [b"", b"\n" * 10_100_000], ids=["small", "large"])
def test_document_type_is_refused_before_any_element_is_read(tmp_path: Path, document: bytes, padding: bytes) -> None:
    (tmp_path / "a.xml").write_bytes(document + padding)
    listener = Listener()
    with pytest.raises(PipelineError, match=r"declares a document type.*export the labels again"):
        list(xml_stream.feed(tmp_path / "a.xml", listener))
    assert listener.heard == []


@pytest.mark.parametrize(
    "document",
    [b"<annotations><image>", b"<annotations>&nothing;</annotations>", b"no xml", b""],
    ids=["cut short", "undeclared entity", "text", "empty"],
)
def test_broken_document_is_named(tmp_path: Path, document: bytes) -> None:
    (tmp_path / "a.xml").write_bytes(document)
    with pytest.raises(PipelineError, match=r"cannot be read: .*a\.xml: .+Export the labels again"):
        list(xml_stream.feed(tmp_path / "a.xml", Listener()))


def test_small_document_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<a><b c='1'>x &amp; y</b></a>")
    tree = xml_stream.read_tree(tmp_path / "a.xml")
    assert (tree.tag, tree.findtext("b"), tree[0].get("c")) == ("a", "x & y", "1")


def test_name_that_no_tree_takes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<a><:b/></a>")
    with pytest.raises(PipelineError, match=r"cannot be read: .*a\.xml: .*:b"):
        xml_stream.read_tree(tmp_path / "a.xml")


def test_first_element_is_told_without_reading_on(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<?xml version='1.0'?><!-- by hand --><annotations><broken")
    assert xml_stream.root_tag(tmp_path / "a.xml") == "annotations"
