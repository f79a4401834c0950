"""Class lists: every form that is read, and every line that is refused."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.core.checks import DataError
from striate.core.datasets.class_list import find_class_list, read_class_list, with_names
from striate.core.datasets.mask_files import RawMask
from striate.tests.core.datasets.mask_sets import classes


def ids(root: Path, values: list[int], *lines: str) -> tuple[tuple[str, ...], list[int]]:
    """Write a list and return its names and the classes of some values."""
    classes(root, *lines)
    found = read_class_list(root / "classes.txt")
    return found.names, found.code.ids(RawMask(np.array([values], np.uint16)), "a").ravel().tolist()


@pytest.mark.parametrize(
    ("lines", "names", "expected"),
    [
        (("0 sky", "1 road", "7 car"), ("sky", "road", "car"), [0, 1, 2, 255]),
        (("sky", "road", "# a remark", "", "void", "x", "x2", "x3", "x4", "car"), None, [0, 1, 6, 255]),
        (("7 car", "1 road", "0 unlabelled"), ("car", "road"), [255, 1, 0, 255]),
        (("0 sky", "1 car", "7 car"), ("sky", "car"), [0, 1, 1, 255]),
        (("0 ground", "* thing"), ("ground", "thing"), [0, 1, 1, 1]),
        (("0 ground", "255 thing", "* ignored"), ("ground", "thing"), [0, 255, 255, 1]),
    ],
    ids=["values", "numbered by line", "void", "joined", "all others", "others ignored"],
)
def test_values(tmp_path: Path, lines: tuple, names: tuple | None, expected: list[int]) -> None:
    found, classes_found = ids(tmp_path, [0, 1, 7, 255], *lines)
    assert classes_found == expected
    assert names is None or found == names


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("label_colors.txt", ("0 0 0 \t Void", "64 128 64\tAnimal here", "1 2 3 Archway")),
        (
            "labelmap.txt",
            ("# label:color_rgb:parts:actions", "Void:0,0,0::", "Animal here:64,128,64::", "Archway:1,2,3::"),
        ),
        ("class_dict.csv", ("name,r,g,b", "Void, 0, 0, 0", "Animal here, 64, 128, 64", "Archway,1,2,3")),
    ],
)
def test_colours(tmp_path: Path, file: str, lines: tuple[str, ...]) -> None:
    classes(tmp_path, *lines, name=file)
    path = find_class_list(tmp_path)
    assert path is not None
    found = read_class_list(path)
    assert (found.names, found.colours) == (("Animal here", "Archway"), ((64, 128, 64), (1, 2, 3)))
    pixels = np.array([[[0, 0, 0], [1, 2, 3], [64, 128, 64]]], np.uint8)
    assert found.code.ids(RawMask(pixels), "a").tolist() == [[255, 1, 0]]
    chosen = with_names(found, ("Archway",))
    assert chosen.colours == ((1, 2, 3),)
    assert chosen.code.ids(RawMask(pixels), "a").tolist() == [[255, 0, 255]]


def test_other_colours_than_the_list_s(tmp_path: Path) -> None:
    pixels = RawMask(np.array([[[0, 0, 1], [9, 9, 9]]], np.uint8))
    for line, expected in (("* b", [0, 1]), ("* void", [0, 255]), ("* a", [0, 0])):
        classes(tmp_path, "a:0,0,1", "b:0,0,2", line)
        assert read_class_list(tmp_path / "classes.txt").code.ids(pixels, "a").ravel().tolist() == expected
    classes(tmp_path, "000000000001 a", "0 b")
    assert read_class_list(tmp_path / "classes.txt").code.values[0] == (1, 0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("0 a", "0 b"), "every value once, from 0 to 65535; got line 2 of"),
        (("70000 a",), "every value once"),
        (("a:0,0,300",), "every colour once, levels from 0 to 255; got line 1"),
        (("a:0,0,1", "b:0,0,1"), "every colour once"),
        (("0 a", "b:0,0,1"), "either values or colours; got values and colours"),
        (("void",), "either values or colours; got none"),
        (("9" * 5000 + " a",), "every value once, from 0 to 65535"),
        (("a:0,0," + "9" * 5000,), "every colour once, levels from 0 to 255"),
        (("a:0,0,1", "* other"), r"a colour for every class; got '\* other' without one in .*classes\.txt"),
        (tuple(f"{i} c{i}" for i in range(300)), r"at most 254 classes; got 300 in .*classes\.txt; join"),
        (tuple(f"c{i}" for i in range(2000)), "at most 254 classes; got 2000 lines"),
        (("x" * 2**21,), "a class list of at most"),
        (("\udcff",), "a class list as text"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    (tmp_path / "classes.txt").write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        read_class_list(tmp_path / "classes.txt")


def test_one_list_only(tmp_path: Path) -> None:
    assert find_class_list(tmp_path) is None
    classes(tmp_path, "a")
    classes(tmp_path, "a:0,0,0", name="labelmap.txt")
    with pytest.raises(DataError, match=r"one class list; got classes\.txt, labelmap\.txt in"):
        find_class_list(tmp_path)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "classes.txt"
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        assert read_class_list(path).names
