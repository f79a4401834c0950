"""Vectors of many pictures: the same however joblib spreads the work, kept by content, broken files named."""

import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest

from striate.bow_baseline import extraction
from striate.bow_baseline.bag import Bag
from striate.bow_baseline.descriptors import DenseSift, KeypointSift
from striate.bow_baseline.encoding import make_encoder
from striate.bow_baseline.extraction import content, extract, sample
from striate.bow_baseline.pyramid import Pyramid
from striate.core import images
from striate.core.checks import DataError, ImageError, UsageError
from striate.core.images import save_image
from striate.tests.core.test_classifier import stripes

COUNT = 37  # three batches, the last one short


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Pictures of three sizes."""
    sets = [stripes(COUNT, size=size, seed=size) for size in (40, 48, 56)]
    return [sets[i % 3].image(i) for i in range(COUNT)]


@pytest.fixture(scope="module")
def bag(pictures: list[np.ndarray]) -> Bag:
    describer = DenseSift(step=8, bin_sizes=(4,))
    encoder = make_encoder("hard", words=12, passes=2).fit(sample(describer, pictures, count=500))
    return Bag(describer, encoder, Pyramid(layout="1x1+2x2"), region="none", whole="l1")


@pytest.fixture(scope="module")
def files(pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    return [save_image(image, folder / f"{i}.png") for i, image in enumerate(pictures)]


def vectors(bag: Bag, sources: list, **options) -> np.ndarray:
    return np.concatenate([part.vectors for part in extract(bag, sources, **options)])


def test_a_vector_is_the_normalized_counts_of_its_cells(bag: Bag, pictures: list[np.ndarray]) -> None:
    found = vectors(bag, pictures)
    assert (found.dtype, found.shape) == (np.float32, (COUNT, bag.width))
    for image, vector in zip(pictures, found, strict=True):
        described = bag.describer.describe(image)
        words = bag.encoder.words_of(described)
        cells = [np.bincount(words[region], minlength=12) for region in bag.pyramid.regions(described)]
        np.testing.assert_allclose(vector, np.concatenate(cells) / (2 * len(words)), rtol=1e-5)
    np.testing.assert_array_equal(bag.vector(np.zeros((1, 1, 3), np.uint8)), 0)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_the_same_vectors_wherever_they_are_made(bag: Bag, pictures: list[np.ndarray], backend: str) -> None:
    expected, drawn = vectors(bag, pictures), sample(bag.describer, pictures, count=300)
    with joblib.parallel_config(backend, n_jobs=2):
        np.testing.assert_array_equal(vectors(bag, pictures), expected)
        np.testing.assert_array_equal(sample(bag.describer, pictures, count=300), drawn)


def test_the_same_vectors_on_a_dask_cluster(bag: Bag, files: list[Path], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    expected, drawn = vectors(bag, files), sample(bag.describer, files, count=300)
    with warnings.catch_warnings():
        # distributed leaves sockets to the garbage collector as its processes end
        warnings.simplefilter("ignore", ResourceWarning)
        options = {"dashboard_address": None, "local_directory": str(tmp_path)}
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster,
            distributed.Client(cluster) as client,
        ):
            client.wait_for_workers(2)
            with joblib.parallel_config("dask"):
                np.testing.assert_array_equal(vectors(bag, files), expected)
                np.testing.assert_array_equal(sample(bag.describer, files, count=300), drawn)
            tasks = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(tasks) == 2
    assert all(count > 0 for count in tasks.values()), tasks


def test_broken_files_are_named_and_left_out(bag: Bag, files: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:60])
    parts = list(extract(bag, [*files[:3], broken, tmp_path / "gone.png", *files[3:5]]))
    assert np.concatenate([part.indices for part in parts]).tolist() == [0, 1, 2, 5, 6]
    faults = [fault for part in parts for fault in part.faults]
    assert len(faults) == 2
    assert "broken.png" in faults[0]
    assert faults[1].startswith("unreadable, left out: no file at")
    np.testing.assert_array_equal(np.concatenate([part.vectors for part in parts]), vectors(bag, files[:5]))
    with pytest.raises(ImageError, match=r"broken\.png"):
        vectors(bag, [*files[:3], broken], strict=True)
    assert len(sample(bag.describer, [broken, files[0]], count=10)) == 10
    only = list(extract(bag, [broken]))
    assert (len(only), only[0].vectors.shape) == (1, (0, bag.width))


def test_kept_by_content(bag: Bag, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    expected = vectors(bag, files, cache=cache)
    assert len(list(cache.iterdir())) == len({path.read_bytes() for path in files})
    copy = tmp_path / "copy.png"  # another name, the same picture
    copy.write_bytes(files[0].read_bytes())
    monkeypatch.setattr(Bag, "vector", lambda self, image: pytest.fail("made again"))
    np.testing.assert_array_equal(vectors(bag, [copy, *files[1:]], cache=cache), expected)
    other = Bag(bag.describer, bag.encoder, bag.pyramid, region="none", whole="l2")
    with pytest.raises(pytest.fail.Exception, match="made again"):
        vectors(other, files[:1], cache=cache)
    monkeypatch.undo()
    np.testing.assert_array_equal(vectors(other, files[:1], cache=cache), vectors(other, files[:1]))


def test_a_file_is_read_once(bag: Bag, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(file, *args, **keywords):
        opened.append(str(file))
        return open(file, *args, **keywords)

    monkeypatch.setattr(images, "open", counted, raising=False)
    for cache in (None, tmp_path):
        opened.clear()
        vectors(bag, files[:3], cache=cache)
        assert opened == [str(path) for path in files[:3]]


def test_what_is_kept_is_what_was_hashed(bag: Bag, files: list[Path], tmp_path: Path, monkeypatch) -> None:
    changing, cache = tmp_path / "changing.png", tmp_path / "cache"
    cache.mkdir()
    changing.write_bytes(files[0].read_bytes())
    hashing = extraction._kept

    def change(*args):
        changing.write_bytes(files[1].read_bytes())  # between the hash and the decoder
        return hashing(*args)

    monkeypatch.setattr(extraction, "_kept", change)
    vectors(bag, [changing], cache=cache)
    monkeypatch.undo()
    np.testing.assert_array_equal(vectors(bag, files[:1], cache=cache), vectors(bag, files[:1]))


@pytest.mark.parametrize("jobs", [0, 1.5, True])
def test_a_number_of_jobs_that_cannot_be(bag: Bag, files: list[Path], jobs: object) -> None:
    with pytest.raises(UsageError, match=r"jobs to be a whole number other than 0; got .*; pass 1 or more, or -1"):
        vectors(bag, files, jobs=jobs)


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"nothing"), lambda path: path.write_bytes(b""), lambda path: np.save(path, [1.0])],
    ids=["foreign", "empty", "another shape"],
)
def test_what_was_kept_and_is_damaged_is_made_again(bag: Bag, files: list[Path], tmp_path: Path, damage) -> None:
    expected = vectors(bag, files[:1], cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    damage(kept)
    np.testing.assert_array_equal(vectors(bag, files[:1], cache=tmp_path), expected)
    assert kept.read_bytes() == whole


def test_no_folder_to_keep_in(bag: Bag, files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the cache to be an existing folder; got .*gone; create it first"):
        vectors(bag, files, cache=tmp_path / "gone")


def test_the_order_of_colours(bag: Bag, files: list[Path]) -> None:
    red = np.zeros((40, 40, 3), np.uint8)
    red[::4, :, 0], red[:, ::5, 2] = 255, 255
    colour = Bag(DenseSift(step=8, bin_sizes=(4,)), bag.encoder, bag.pyramid, region="none", whole="none")
    np.testing.assert_array_equal(vectors(colour, [red[..., ::-1]], channels="bgr"), vectors(colour, [red]))


def test_the_digest_tells_bags_apart(bag: Bag, pictures: list[np.ndarray]) -> None:
    words = make_encoder("hard", words=12, passes=2).fit(sample(bag.describer, pictures, count=500, seed=1))
    parts = {"region": "none", "whole": "l1"}
    others = [
        Bag(DenseSift(step=8, bin_sizes=(4,), root=False), bag.encoder, bag.pyramid, **parts),
        Bag(bag.describer, words, bag.pyramid, **parts),
        Bag(bag.describer, bag.encoder, Pyramid(layout="2x2+1x1"), **parts),
        Bag(bag.describer, bag.encoder, bag.pyramid, region="l1", whole="l1"),
    ]
    assert len({bag.digest(), *(other.digest() for other in others)}) == 5
    again = make_encoder("hard", words=12, passes=2).restore(bag.encoder.arrays())
    assert Bag(DenseSift(step=8, bin_sizes=(4,)), again, bag.pyramid, **parts).digest() == bag.digest()


def test_content_of_files_and_of_pictures(files: list[Path], pictures: list[np.ndarray], tmp_path: Path) -> None:
    data, picture = content(files[0])
    assert data == files[0].read_bytes()
    np.testing.assert_array_equal(picture(), pictures[0])
    assert content(pictures[0])[0] != content(pictures[1])[0]
    flat = np.zeros((4, 6, 3), np.uint8)
    assert content(flat)[0] != content(flat.transpose(1, 0, 2))[0]
    with pytest.raises(ImageError, match=r"a picture file; got no file at .*gone\.png; check the path"):
        content(tmp_path / "gone.png")


def test_a_sample_is_drawn_evenly(pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "PER_PICTURE", 4)
    seen = []

    class Counting(DenseSift):
        def describe(self, image):
            seen.append(1)
            return super().describe(image)

    describer = Counting(step=8, bin_sizes=(4,))
    found = sample(describer, pictures, count=40)
    assert (found.shape, len(seen)) == ((40, 128), 10)
    every = np.concatenate([DenseSift(step=8, bin_sizes=(4,)).describe(image).values for image in pictures])
    assert {row.tobytes() for row in found} <= {row.tobytes() for row in every}
    assert sample(describer, pictures, count=10**6).shape == every.shape
    assert (sample(describer, pictures, count=40, seed=1) != found).any()


def test_pictures_without_descriptors(pictures: list[np.ndarray]) -> None:
    blank = [np.zeros((40, 40, 3), np.uint8)] * 3
    with pytest.raises(DataError, match="pictures with descriptors; got none in 3 pictures; choose smaller bin_sizes"):
        sample(KeypointSift(), blank, count=10)
    assert len(sample(KeypointSift(), [*blank, *pictures], count=5)) == 5
