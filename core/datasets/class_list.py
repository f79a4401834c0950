"""Class lists: text files that say which value or colour of a mask means which class.

Read are, of one file beside the folders: classes.txt ("VALUE NAME", or "NAME" alone, numbered from 0; "* NAME" for all
other values), CamVid's label_colors.txt ("R G B NAME"), CVAT's labelmap.txt ("NAME:R,G,B::") and class_dict.csv
("name,r,g,b"). Names of pixels that count for nothing are "void", "unlabelled" or "ignore".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..checks import DataError, unknown
from .mask_code import MaskCode
from .mask_files import IGNORE, MOST_CLASSES, Colour

FILES = ("classes.txt", "label_colors.txt", "labelmap.txt", "class_dict.csv")
MAX_BYTES = 2**20
VOID = re.compile(r"\b(void|unlabell?ed|ignored?)\b", re.IGNORECASE)
COLOURED = (
    re.compile(r"(?P<r>\d+)\s+(?P<g>\d+)\s+(?P<b>\d+)\s+(?P<name>\S.*)"),
    re.compile(r"(?P<name>[^:]*\S)\s*:\s*(?P<r>\d+)\s*,\s*(?P<g>\d+)\s*,\s*(?P<b>\d+)\s*(:.*)?"),
    re.compile(r"(?P<name>[^,]*\S)\s*,\s*(?P<r>\d+)\s*,\s*(?P<g>\d+)\s*,\s*(?P<b>\d+)\s*"),
)
VALUED = re.compile(r"(?P<value>\d+|\*)\s+(?P<name>\S.*)")


@dataclass(frozen=True)
class ClassList:
    """Names, colours (empty: none stated), the code from values to class ids, and what was assumed, if anything."""

    names: tuple[str, ...]
    code: MaskCode
    colours: tuple[Colour, ...] = ()
    remark: str = ""


def find_class_list(root: Path) -> Path | None:
    """Return the class list of a dataset, None where there is none; raises DataError when there are several."""
    found = [root / name for name in FILES if (root / name).is_file()]
    if len(found) > 1:
        got = f"{', '.join(path.name for path in found)} in {root}"
        raise DataError("one class list", got, "keep the one that belongs to the masks")
    return found[0] if found else None


def read_class_list(path: Path) -> ClassList:
    """Read one of the files that the module names.

    Raises:
        DataError: A value or colour twice or out of range, no class at all, more than 254, a class without a colour
            beside others that have one, or no text.
    """
    values: list[tuple[int, int]] = []
    colours: list[tuple[Colour, int]] = []
    names: list[str] = []
    other = None
    for number, line in _lines(path):
        where = f"line {number} of {path}: {line[:60]!r}"
        value, colour, name = _entry(line)
        if VOID.search(name):
            class_id = IGNORE
        else:
            if name not in names:
                names.append(name)
            class_id = names.index(name)
        if colour is not None:
            if max(colour) > 255 or colour in dict(colours):
                raise DataError("every colour once, levels from 0 to 255", where, "correct the line")
            colours.append((colour, class_id))
        elif value == "*":
            other = class_id
        else:
            level = _number(value) if value else len(values)
            if level > 65535 or level in dict(values):
                raise DataError("every value once, from 0 to 65535", where, "correct the line")
            values.append((level, class_id))
    if not names or (values and colours):
        got = f"{'values and colours' if names else 'none'} in {path}"
        raise DataError("classes with either values or colours", got, "write one line 'VALUE NAME' for each class")
    if len(names) > MOST_CLASSES:
        raise DataError(f"at most {MOST_CLASSES} classes", f"{len(names)} in {path}", "join some of them")
    bare = [name for i, name in enumerate(names) if colours and i not in dict(colours).values()]
    if bare:
        fix = "give it a line with a colour of its own too, or write '* void' to ignore all other colours"
        raise DataError("a colour for every class", f"'* {bare[0]}' without one in {path}", fix)
    if values and IGNORE not in dict(values) and other is None:
        values.append((IGNORE, IGNORE))
    shown = tuple(next(c for c, i in colours if i == k) for k in range(len(names))) if colours else ()
    return ClassList(tuple(names), MaskCode(tuple(values), tuple(colours), other), shown)


def with_names(found: ClassList, names: Sequence[str]) -> ClassList:
    """Choose and order the classes of a class list by name; pixels of the others are ignored.

    Raises:
        UsageError: A name that the class list does not have.
    """
    for name in names:
        if name not in found.names:
            raise unknown("class", name, found.names, DataError)
    new = {old: names.index(name) if name in names else IGNORE for old, name in enumerate(found.names)} | {
        IGNORE: IGNORE
    }
    code = MaskCode(
        tuple((value, new[i]) for value, i in found.code.values),
        tuple((colour, new[i]) for colour, i in found.code.colours),
        None if found.code.other is None else new[found.code.other],
    )
    colours = tuple(found.colours[found.names.index(name)] for name in names) if found.colours else ()
    return replace(found, names=tuple(names), code=code, colours=colours)


def is_readable(value: int, name: str) -> bool:
    """Whether the line "VALUE NAME" of a class list gives back both."""
    line = f"{value} {name}"
    plain = line.encode("utf-8", "replace").decode() == " ".join(line.split())
    return plain and not VOID.search(name) and _entry(line) == (str(value), None, name)


def _entry(line: str) -> tuple[str, Colour | None, str]:
    """Return (value or "" or "*", colour or None, name)."""
    for pattern in COLOURED:
        if match := pattern.fullmatch(line):
            red, green, blue = (_number(match[key]) for key in "rgb")
            return "", (red, green, blue), match["name"].strip()
    if match := VALUED.fullmatch(line):
        return match["value"], None, match["name"].strip()
    return "", None, line


def _number(digits: str) -> int:
    """Read digits, however many: int() refuses 4,301 of them, and nothing above nine is in range anyway."""
    return int(digits) if len(digits.lstrip("0")) < 10 else 10**9


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a class list as text", f"{error}: {path}", "write it again in UTF-8") from error
    if len(text) > MAX_BYTES:
        raise DataError(f"a class list of at most {MAX_BYTES:,} bytes", f"more: {path}", "check the file")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    kept = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if path.suffix == ".csv" and kept and re.fullmatch(r"name\s*,\s*r\s*,\s*g\s*,\s*b\s*", kept[0][1].lower()):
        kept = kept[1:]
    if len(kept) > 4 * MOST_CLASSES:
        raise DataError(f"at most {MOST_CLASSES} classes", f"{len(kept)} lines in {path}", "check the file")
    return kept
