"""Pascal VOC: Annotations/*.xml, ImageSets/Main/<split>.txt, JPEGImages/*.

Convention: xmin..xmax are used as they stand, as float half-open edges. VOC's own files are 1-based and inclusive,
which would shift them by up to one pixel; most other sets written in this format (the blood cells among them) are
0-based, and nothing in the files says which. Objects marked `difficult` are read as ordinary boxes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..checks import DataError, closest
from .boxes import BoxDataset
from .labels import Label, Record, assemble, inside

MAX_XML_BYTES = 16 * 2**20
MAX_XML_DEPTH = 32


def read_voc(
    root: Path, split: str, *, names: Sequence[str] | None = None, on_bad_label: str = "drop_box"
) -> BoxDataset:
    """Read one split; class names, where not given, are those of the train split (else of this one), sorted.

    Raises:
        DataError: Split or picture missing, annotation missing or not XML, a name that leads outside `root`.
    """
    root = Path(root)
    records = [_record(root, stem) for stem in _stems(root, split)]
    if names is None:
        has_train = (root / "ImageSets" / "Main" / "train.txt").is_file() and split != "train"
        source = [_record(root, stem) for stem in _stems(root, "train")] if has_train else records
        names = sorted({label.name for record in source for label in record.labels})
    return assemble(records, names, root=root, split=split, format="voc", on_bad_label=on_bad_label)


def parse_xml(data: bytes, name: str) -> Element:
    """Parse XML that may be hostile: a DOCTYPE (and with it every entity) is refused, and so are deep nests."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def refuse(*_: object) -> None:
        raise DataError("an annotation in plain XML", f"a DOCTYPE or entity in {name}", "take it out of the file")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_XML_DEPTH:
            raise DataError("an annotation in plain XML", f"more than {depth - 1} levels in {name}", "write it again")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except DataError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DataError("an annotation in XML", f"{error} in {name}", "write the annotation again") from error
    return builder.close()


def splits(root: Path) -> list[str]:
    """Names of the splits that a VOC folder has."""
    return sorted(path.stem for path in (root / "ImageSets" / "Main").glob("*.txt"))


def _stems(root: Path, split: str) -> list[str]:
    path = inside(root, "ImageSets", "Main", f"{split}.txt")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        known = splits(root)
        near = closest(split, known)
        fix = f"did you mean {near!r}?" if near else f"write the names of its pictures into {path}"
        raise DataError(f"a split out of {', '.join(known) or '(none)'}", repr(split), fix) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a text file with one name a line", f"{error}: {path}", "write the list again") from error
    return [_stem(root, line.strip()) for line in lines if line.strip()]


def _stem(root: Path, line: str) -> str:
    """Drop the flag of VOC's class lists ("2008_000001 -1": absent, but listed), unless it belongs to the name."""
    bare = re.sub(r"\s+(-1|0|1)$", "", line)
    return line if inside(root, "Annotations", f"{line}.xml").is_file() else bare


def _record(root: Path, stem: str) -> Record:
    path = inside(root, "Annotations", f"{stem}.xml")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_XML_BYTES + 1)
    except OSError as error:
        got = f"{error.strerror}: {path}"
        raise DataError("an annotation for every picture", got, "add it, or take it off the list") from error
    if len(data) > MAX_XML_BYTES:
        raise DataError(f"an annotation of at most {MAX_XML_BYTES:,} bytes", f"more: {path}", "write it again")
    tree = parse_xml(data, path.name)
    labels, problems = [], []
    for item in tree.findall("object"):
        name = (item.findtext("name") or "").strip()
        try:
            box = tuple(float(item.findtext(f"bndbox/{tag}") or "missing") for tag in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError:
            problems.append(f"{name or 'object'} without a readable bndbox")
            continue
        labels.append(Label(box, name, crowd=(item.findtext("crowd") or "").strip() == "1"))  # type: ignore[arg-type]
    return Record(_picture(root, tree, stem), labels, _stated_size(tree), tuple(problems))


def _picture(root: Path, tree: Element, stem: str) -> Path:
    """The picture that the annotation names; where that does not exist, the one that shares the annotation's name."""
    filename = (tree.findtext("filename") or "").strip() or f"{stem}.jpg"
    named = inside(root, "JPEGImages", filename)
    if named.is_file():
        return named
    same_stem = (inside(root, "JPEGImages", stem + suffix) for suffix in (".jpg", ".jpeg", ".png", ".webp", ".bmp"))
    return next((path for path in same_stem if path.is_file()), named)


def _stated_size(tree: Element) -> tuple[int, int] | None:
    try:
        return int(float(tree.findtext("size/height") or "")), int(float(tree.findtext("size/width") or ""))
    except (ValueError, OverflowError):
        return None
