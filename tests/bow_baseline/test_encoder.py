"""What all encoders promise: regions, empty pictures, saving, refusals."""

import json

import numpy as np
import pytest

from striate.bow_baseline.descriptors import Descriptors
from striate.bow_baseline.encoding import ENCODERS, FisherEncoder, HardEncoder, make_encoder
from striate.bow_baseline.pyramid import Pyramid
from striate.core.checks import DataError, ModelError, UsageError

KEYWORDS = {
    "hard": {"words": 12}, "soft": {"words": 12, "neighbours": 4}, "llc": {"words": 12, "components": 8, "pool": "sum"},
    "vlad": {"words": 6, "components": 5, "whiten": True}, "fisher": {"words": 4, "components": None},
    "grid": {"components": 2, "levels": 3},
}  # fmt: skip
WIDTHS = {"hard": 12, "soft": 12, "llc": 12, "vlad": 30, "fisher": 128, "grid": 9}
ENCODER = pytest.mark.parametrize("name", ENCODERS)


def values(count: int = 400, width: int = 16, seed: int = 0) -> np.ndarray:
    """Rows of length 1 around twenty places."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(99).random((20, width))
    found = places[rng.integers(20, size=count)] + rng.normal(size=(count, width)) * 0.2
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def descriptors(count: int = 90, seed: int = 1) -> Descriptors:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, (60, 40), (count, 2)).astype(np.float32)
    return Descriptors(values(count, seed=seed), centres, np.ones(count, np.float32), (40, 60))


def fitted(name: str, **keywords: object):
    return make_encoder(name, **{**KEYWORDS[name], **keywords}).fit(values(), seed=3)


@ENCODER
def test_each_region_as_if_it_were_alone(name: str) -> None:
    encoder, picture = fitted(name), descriptors()
    pyramid = Pyramid(layout="1x1+2x3")
    regions = pyramid.regions(picture)
    found = encoder.encode(picture, regions)
    assert (found.shape, found.dtype) == ((7, WIDTHS[name]), np.float32)
    assert encoder.width == WIDTHS[name]
    for row, region in zip(found, regions, strict=True):
        part = picture.subset(region)
        np.testing.assert_allclose(encoder.encode(part, [np.arange(len(part))])[0], row, atol=2e-4)
        mask = np.isin(np.arange(len(picture)), region)
        np.testing.assert_allclose(encoder.encode(picture, [mask])[0], row, atol=2e-4)


@ENCODER
def test_nothing_to_encode_gives_zeros(name: str) -> None:
    encoder, picture = fitted(name), descriptors()
    nothing = picture.subset(np.zeros(0, np.int64))
    assert encoder.encode(nothing, [np.arange(0)] * 3).tolist() == np.zeros((3, encoder.width)).tolist()
    assert encoder.words_of(nothing).shape == (0,)
    some = encoder.encode(picture, [np.arange(0), np.arange(90)])
    assert not some[0].any()
    assert some[1].any()


@ENCODER
def test_restored_it_answers_the_same(name: str) -> None:
    encoder, picture = fitted(name), descriptors()
    keywords, arrays = json.loads(json.dumps(encoder.keywords())), encoder.arrays()
    again = make_encoder(name, **keywords).restore(arrays)
    regions = Pyramid().regions(picture)
    assert np.array_equal(again.encode(picture, regions), encoder.encode(picture, regions))
    assert np.array_equal(again.words_of(picture), encoder.words_of(picture))
    assert arrays.keys() == again.arrays().keys()
    assert repr(again) == repr(encoder)


@ENCODER
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    encoder = fitted(name)
    arrays = encoder.arrays()
    for key, array in arrays.items():
        fresh = make_encoder(name, **KEYWORDS[name])
        with pytest.raises(ModelError, match=f"expected {key} float.* got nothing; restore what `arrays` gave"):
            fresh.restore({k: v for k, v in arrays.items() if k != key})
        with pytest.raises(ModelError, match=f"expected {key} float.*with the same keywords"):
            fresh.restore(arrays | {key: array[None]})
        with pytest.raises(ModelError, match=f"expected {key} float.* with NaN or infinity"):
            fresh.restore(arrays | {key: np.full_like(array, np.nan)})
        with pytest.raises(ModelError, match="call fit or restore"):
            fresh.arrays()  # a restore that fails leaves nothing behind
    other = make_encoder(name, **KEYWORDS[name]).fit(values(seed=5))
    expected = other.encode(descriptors(), [np.arange(90)])
    with pytest.raises(ModelError, match=r"the arrays of .*; got also more"):
        other.restore(arrays | {"more": np.zeros(1)})
    assert np.array_equal(other.encode(descriptors(), [np.arange(90)]), expected)


def test_words_of_another_length_than_the_components_are_refused() -> None:
    arrays = fitted("llc").arrays()
    with pytest.raises(ModelError, match="words as long as there are components; got words of 5 and 8 components"):
        make_encoder("llc", **KEYWORDS["llc"]).restore(arrays | {"centroids": arrays["centroids"][:, :5]})


@ENCODER
def test_fitting_again_gives_the_same(name: str, tmp_path) -> None:
    values().tofile(tmp_path / "sample")
    mapped = np.memmap(tmp_path / "sample", np.float32, "r", shape=(400, 16))
    once, again = fitted(name), make_encoder(name, **KEYWORDS[name]).fit(mapped, seed=3)
    for key, array in once.arrays().items():
        np.testing.assert_array_equal(again.arrays()[key], array)


@ENCODER
def test_bad_descriptors(name: str) -> None:
    encoder, picture = make_encoder(name, **KEYWORDS[name]), descriptors()
    regions = [np.arange(90)]
    with pytest.raises(ModelError, match="an encoder that was fitted; got one that was not; call fit or restore"):
        encoder.encode(picture, regions)
    with pytest.raises(DataError, match=r"a float32 matrix \(n, D\); got float64 \(400, 16\)"):
        encoder.fit(values().astype(np.float64))
    spoiled = values()
    spoiled[3, 4] = np.nan
    with pytest.raises(DataError, match="descriptors that are finite; got NaN or infinity in the sample"):
        encoder.fit(spoiled)
    encoder.fit(values())
    with pytest.raises(DataError, match="descriptors that are finite; got NaN or infinity; leave this picture out"):
        encoder.encode(Descriptors(spoiled[:90], picture.centres, picture.radii, picture.size), regions)
    with pytest.raises(DataError, match="descriptors of 16 numbers; got 9; describe the picture with the keywords"):
        encoder.words_of(Descriptors(spoiled[:90, :9], picture.centres, picture.radii, picture.size))


@pytest.mark.parametrize("name", [n for n in ENCODERS if n != "grid"])
def test_more_words_than_descriptors(name: str) -> None:
    with pytest.raises(DataError, match="at least 30 rows for 30 words; got n_samples=20; take more descriptors"):
        make_encoder(name, **(KEYWORDS[name] | {"words": 30})).fit(values(20))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: make_encoder("bag"), "encoder to be one of hard, soft, .*; got 'bag'"),
        (lambda: make_encoder("hard", neighbours=3), "keywords of the encoder 'hard'; got .*neighbours"),
        (lambda: HardEncoder(pool="mean"), "pool to be one of sum, max; got 'mean'"),
        (lambda: HardEncoder(words=0), "words to be a whole number of at least 1; got 0"),
        (lambda: FisherEncoder(passes=0), "passes to be a whole number of at least 1; got 0"),
        (lambda: make_encoder("llc", neighbours=17), "from 1 to 16 neighbours; got 17"),
        (lambda: make_encoder("soft", words=3, neighbours=4), "from 1 to 3 neighbours; got 4"),
        (lambda: make_encoder("soft", bandwidth=0), "bandwidth to be a positive number; got 0"),
        (lambda: make_encoder("llc", ridge=-1), "ridge to be a positive number; got -1"),
        (lambda: make_encoder("grid", components=9, levels=9), r"of at most 65536; got 9 \*\* 9"),
        (lambda: make_encoder("grid", levels=1), "levels to be a whole number of at least 2; got 1"),
        (lambda: make_encoder("vlad", words=-1), "words to be a whole number of at least 1; got -1"),
    ],
)
def test_bad_keywords(make, words) -> None:
    with pytest.raises(UsageError, match=words):
        make()
