"""Pictures with one class each: every format, every fault, and that nothing is written."""

import gzip
import io
import lzma
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.checks import DataError, UsageError
from striate.core.datasets.classes import ClassDataset, from_arrays
from striate.core.datasets.load_classes import list_class_splits, load_classes, training_class_splits


def picture(value: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    return Image.fromarray(np.full((*size, 3), value, np.uint8))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for split, count in (("train", 4), ("val", 2)):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                picture(100 * number + i).save(folder / f"{i}.png")
    return tmp_path / "pets"


def write_idx(folder: Path, split: str, pictures: np.ndarray, labels: np.ndarray, suffix: str = "") -> None:
    folder.mkdir(exist_ok=True)
    opener = {"": open, ".gz": gzip.open, ".xz": lzma.open}[suffix]
    for name, array in ((f"{split}-images-idx3-ubyte", pictures), (f"{split}-labels-idx1-ubyte", labels)):
        head = bytes((0, 0, 8, array.ndim)) + b"".join(side.to_bytes(4, "big") for side in array.shape)
        with opener(folder / f"{name}{suffix}", "wb") as file:
            file.write(head + array.astype(np.uint8).tobytes())


def test_class_folders(folders: Path) -> None:
    before = sorted(folders.rglob("*"))
    train, val = load_classes(folders, "train"), load_classes(folders, "val")
    assert list_class_splits(folders) == ["train", "val"]
    assert train.names == val.names == ("cat", "dog")
    assert train.counts() == {"cat": 4, "dog": 4}
    assert train.image(5).shape == (12, 10, 3)
    assert train.image(5)[0, 0, 0] == 101
    assert train.source(5).endswith("train/dog/1.png")
    assert sorted(folders.rglob("*")) == before


def test_class_folders_without_splits_are_training_pictures(folders: Path) -> None:
    train = load_classes(folders / "train", "train")
    assert len(train) == 8
    rest, part = train.split_off(0.25)
    assert part.split == "val"
    assert part.counts() == {"cat": 1, "dog": 1}
    assert not {*map(str, rest.pictures)} & {*map(str, part.pictures)}


def test_unreadable_files_are_listed_and_left_out(folders: Path) -> None:
    for i in range(40):
        picture(i).save(folders / "train" / "cat" / f"more{i}.png")
    bad = folders / "train" / "cat" / "bad.png"
    bad.write_bytes(b"no picture")
    train = load_classes(folders, "train")
    assert len(train) == 48
    assert [line for line in train.report if "bad.png" in line and "left out" in line]
    assert bad.read_bytes() == b"no picture"
    for i in range(10):
        (folders / "train" / "dog" / f"bad{i}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="at most 5% of unreadable files; got 11 of 59"):
        load_classes(folders, "train")


def test_classes_that_differ_between_splits(folders: Path) -> None:
    (folders / "val" / "dog").rename(folders / "val" / "wolf")
    with pytest.raises(DataError, match="folders of the classes cat, dog; got wolf in"):
        load_classes(folders, "val")


def test_an_empty_class(folders: Path) -> None:
    (folders / "train" / "bird").mkdir()
    with pytest.raises(DataError, match="pictures of class 'bird'; got none in"):
        load_classes(folders, "train")


def test_one_class_only(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    picture(1).save(tmp_path / "train" / "cat" / "1.png")
    with pytest.raises(DataError, match="at least two classes, a folder of pictures for each; got cat in"):
        load_classes(tmp_path, "train")


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_idx(tmp_path: Path, suffix: str) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    write_idx(tmp_path, "train", pictures, np.arange(6), suffix)
    found = load_classes(tmp_path, "train")
    assert found.format == "idx"
    assert list_class_splits(tmp_path) == ["train"]
    assert np.array_equal(found.pictures, pictures)
    assert found.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(found.image(2), np.repeat(pictures[2][..., None], 3, 2))
    with pytest.raises(DataError, match="idx files of a split 'test'; got train in"):
        load_classes(tmp_path, "test", format="idx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02abc", "3 bytes for"),
        (b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01abc", "more than 1 bytes"),
        (b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a header of 00 00 08 03 ff"),
        (b"\0\0\x0d\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01abcd", "a header of 00 00 0d"),
        (b"", "a header of"),
    ],
)
def test_damaged_idx(tmp_path: Path, content: bytes, words: str) -> None:
    write_idx(tmp_path, "train", np.zeros((1, 2, 2)), np.zeros(1))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=f"an undamaged idx file of bytes; got {words}"):
        load_classes(tmp_path, "train")


def test_damaged_compression(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", np.zeros((1, 2, 2)), np.zeros(1), ".xz")
    (tmp_path / "train-images-idx3-ubyte.xz").write_bytes(b"not xz")
    with pytest.raises(DataError, match="an undamaged idx file"):
        load_classes(tmp_path, "train")


def test_cifar_binary(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    planes, labels = rng.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.array([3, 9, 0, 1], np.uint8)
    rows = np.concatenate((labels[:, None], planes.reshape(4, -1)), 1)
    for number in (1, 2):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(rows[2 * number - 2 : 2 * number].tobytes())
    found = load_classes(tmp_path, "train")
    assert found.names[3] == "cat"
    assert np.array_equal(found.pictures, planes.transpose(0, 2, 3, 1))
    assert found.labels.tolist() == labels.tolist()
    (tmp_path / "data_batch_2.bin").write_bytes(rows[2:].tobytes()[:-1])
    with pytest.raises(DataError, match="a multiple of 3073 bytes; got 6145 in"):
        load_classes(tmp_path, "train")


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    row = np.concatenate(([7, 42], np.zeros(3072))).astype(np.uint8)
    (tmp_path / "test.bin").write_bytes(row.tobytes())
    found = load_classes(tmp_path, "test")
    assert found.labels.tolist() == [42]
    assert len(found.names) == 100


def jpegs(count: int, size: int = 8) -> list[bytes]:
    streams = []
    for i in range(count):
        stream = io.BytesIO()
        picture(20 * i, (size, size)).save(stream, "JPEG")
        streams.append(stream.getvalue())
    return streams


def write_jpeg_npz(path: Path, streams: list[bytes], **changes) -> None:
    offset = np.cumsum([0, *map(len, streams)])
    arrays = {
        "jpeg": np.frombuffer(b"".join(streams), np.uint8),
        "offset": offset,
        "label": np.arange(len(streams), dtype=np.uint8) % 2,
        "classes": np.array(["a", "b"]),
    }
    np.savez(path, **{**arrays, **changes})


def test_jpeg_npz(tmp_path: Path) -> None:
    write_jpeg_npz(tmp_path / "train.npz", jpegs(5))
    found = load_classes(tmp_path, "train")
    assert found.pictures.shape == (5, 8, 8, 3)
    assert found.names == ("a", "b")
    assert abs(int(found.image(3)[0, 0, 0]) - 60) < 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offset": np.array([0, 5])}, "rising offsets, one more than labels"),
        ({"jpeg": np.zeros(3, np.uint8)}, "rising offsets"),
        ({"label": np.array([object()] * 3)}, "an npz file of jpeg, offset, label and classes"),
        ({"label": np.array([0, 1, 9], np.uint8)}, "labels from 0 to 1; got labels from 0 to 9"),
    ],
)
def test_damaged_jpeg_npz(tmp_path: Path, changes: dict, words: str) -> None:
    write_jpeg_npz(tmp_path / "train.npz", jpegs(3), **changes)
    with pytest.raises(DataError, match=words):
        load_classes(tmp_path, "train")


def test_pictures_of_several_sizes_in_one_npz(tmp_path: Path) -> None:
    write_jpeg_npz(tmp_path / "train.npz", [*jpegs(2), *jpegs(1, 9)])
    with pytest.raises(DataError, match=r"pictures of \(8, 8, 3\); got \(9, 9, 3\) at 2"):
        load_classes(tmp_path, "train")


def test_arrays_and_their_faults() -> None:
    pictures = np.zeros((3, 4, 4), np.uint8)
    assert from_arrays(pictures, [0, 2, 1]).names == ("0", "1", "2")
    assert from_arrays(pictures, np.array([0.0, 1.0, 1.0]), ("a", "b")).labels.dtype == np.int64
    for labels, words in (
        ([0, 1], "a label for every picture"),
        (np.array([0, np.nan, 1]), "one whole number from 0 for every picture; got float64.*some NaN"),
        ([0, 0.5, 1], "one whole number from 0"),
        ([0, -1, 1], "labels from 0 to"),
    ):
        with pytest.raises(DataError, match=words):
            from_arrays(pictures, labels)
    with pytest.raises(DataError, match=r"pictures as uint8 \(N, H, W\) or \(N, H, W, 3\); got float64"):
        from_arrays(np.zeros((3, 4, 4)), [0, 1, 1])


def test_fingerprints_differ_with_the_data(folders: Path) -> None:
    train = load_classes(folders, "train")
    assert train.fingerprint() == load_classes(folders, "train").fingerprint()
    assert train.fingerprint() != train.subset(range(7)).fingerprint()
    arrays = from_arrays(np.zeros((3, 4, 4), np.uint8), [0, 1, 1])
    other = from_arrays(np.ones((3, 4, 4), np.uint8), [0, 1, 1])
    assert arrays.fingerprint() != other.fingerprint()


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder with a dataset; got nothing at"):
        load_classes(tmp_path / "none", "train")
    with pytest.raises(DataError, match=r"class folders .* got none of them in"):
        load_classes(tmp_path, "train")
    with pytest.raises(UsageError, match="format to be one of folders, idx, cifar, jpeg_npz; got 'mnist'"):
        load_classes(tmp_path, "train", format="mnist")


def test_training_splits_must_agree() -> None:
    two = from_arrays(np.zeros((4, 4, 4), np.uint8), [0, 1, 0, 1], ("a", "b"))
    other = from_arrays(np.zeros((4, 4, 4), np.uint8), [0, 1, 0, 1], ("a", "c"))
    one = ClassDataset(two.pictures, np.zeros(4, np.int64), ("a", "b"))
    assert training_class_splits(two, None, (), fixed=True) == (two, None)
    with pytest.raises(DataError, match=r"validation pictures of the classes \('a', 'b'\)"):
        training_class_splits(two, other, (), fixed=True)
    with pytest.raises(DataError, match=r"pictures of the classes \('a', 'c'\)"):
        training_class_splits(two, None, ("a", "c"), fixed=True)
    with pytest.raises(DataError, match="pictures of at least two classes to train on; got 1 in 4 pictures"):
        training_class_splits(one, None, (), fixed=True)
