"""`striate segment`: what it learns, measures and writes is what the Python API learns, measures and finds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from striate.core.datasets.load_masks import load_masks
from striate.core.images import load_image, save_image
from striate.core.video import frame_rate, read_frames, write_video
from striate.segmentation import Segmenter
from striate.segmentation.instances import find_instances
from striate.segmentation.stains import haematoxylin
from striate.tests.apps.conftest import NUCLEI, nuclei_picture

Run = Callable[..., Any]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of discs, 50 pixels high and 64 wide."""
    path = tmp_path / "discs.png"
    save_image(np.ascontiguousarray(nuclei_picture(7)[0][:50]), path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three pictures, five a second."""
    path = tmp_path / "clip.mp4"
    with write_video(path, 5) as append:
        for seed in (7, 8, 9):
            append(nuclei_picture(seed)[0])
    return path


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_predict_finds_what_the_api_finds(striate: Run, segmenter: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    ran = striate("segment", "predict", photo, "--weights", segmenter, "--out", out, "--overlay", "--csv", "--json")
    assert ran.code == 0, ran.err
    found = Segmenter.load(segmenter).predict(photo)
    (result,) = ran.json["results"]
    assert (ran.json["schema_version"], ran.json["task"], ran.json["names"]) == (1, "segment", list(NUCLEI))
    assert (result["source"], result["height"], result["width"]) == (str(photo), 50, 64)
    assert result["areas"] == found.to_dict()["areas"]
    mask = Image.open(result["files"]["mask"])
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), found.labels)
    assert tuple(mask.getpalette()[3:6]) == found.colours[1]
    np.testing.assert_array_equal(load_image(result["files"]["overlay"]), found.draw_on(load_image(photo)))
    rows = table(ran.json["areas"])
    assert [(row["label"], int(row["pixels"])) for row in rows] == list(found.counts().items())
    assert {row["source"] for row in rows} == {str(photo)}
    assert result["objects"] is None


def test_objects_are_counted_measured_and_drawn(striate: Run, segmenter: Path, photo: Path, tmp_path: Path) -> None:
    words = ("segment", "predict", photo, "--weights", segmenter, "--out", tmp_path / "out", "--instances")
    ran = striate(*words, "--csv", "--overlay", "--opacity", 1, "--least-area", 20, "--json").json
    objects = ran["results"][0]["objects"]
    found = Segmenter.load(segmenter).predict(photo)
    expected = find_instances(found.mask("nucleus"), least_area=20)
    assert objects["count"] == len(expected) >= 2
    assert objects["rows"] == expected.to_rows()
    assert [int(row["area"]) for row in table(ran["objects"])] == expected.areas.tolist()
    assert {row["label"] for row in table(ran["objects"])} == {"nucleus"}
    drawn = load_image(ran["results"][0]["files"]["overlay"])
    np.testing.assert_array_equal(drawn[expected.labels == 0], load_image(photo)[expected.labels == 0])
    said = striate(*words)
    assert f"{objects['count']} nucleus objects" in said.out.replace("\n", " ")


def test_videos_picture_by_picture(striate: Run, segmenter: Path, clip: Path, tmp_path: Path) -> None:
    words = ("segment", "predict", clip, "--weights", segmenter, "--out", tmp_path / "out", "--csv", "--instances")
    ran = striate(*words, "--overlay", "--json")
    assert ran.code == 0, ran.err
    (result,) = ran.json["results"]
    assert (result["frames"], result["rate"], result["height"]) == (3, 5.0, 64)
    masks = sorted(Path(result["files"]["masks"]).iterdir())
    assert [path.name for path in masks] == ["000000.png", "000001.png", "000002.png"]
    api = Segmenter.load(segmenter)
    for frame, path in zip(read_frames(clip), masks, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), api.predict(frame.image).labels)
    assert len(list(read_frames(result["files"]["overlay"]))) == 3
    assert frame_rate(result["files"]["overlay"]) == 5
    rows = table(ran.json["areas"])
    assert [(row["frame"], row["seconds"]) for row in rows[::2]] == [("0", "0.000"), ("1", "0.200"), ("2", "0.400")]
    assert sum(int(row["pixels"]) for row in rows if row["label"] == "nucleus") == result["areas"]["nucleus"]["pixels"]
    counted = len(table(ran.json["objects"]))
    assert result["objects"]["count"] == round(counted / 3, 2)
    again = striate(*words, "--every", 2, "--json").json["results"][0]
    assert again["frames"] == 2
    assert Path(again["files"]["masks"]).name == "clip-masks-2", "two videos' masks are never mixed"
    assert "3 pictures" in striate("segment", "predict", clip, "--weights", segmenter).out


def test_the_blue_stain_only(striate: Run, segmenter: Path, tmp_path: Path) -> None:
    path = tmp_path / "tissue.png"
    save_image(data.immunohistochemistry()[:64, :96], path)
    words = ("segment", "predict", path, "--weights", segmenter, "--json")
    shown, plain = (striate(*words, *more).json["results"][0] for more in (("--haematoxylin",), ()))
    expected = Segmenter.load(segmenter).predict(haematoxylin(load_image(path)))
    assert shown["areas"] == expected.to_dict()["areas"] != plain["areas"]
    assert shown["source"] == str(path)


def test_nothing_is_written_over(striate: Run, segmenter: Path, photo: Path) -> None:
    other = photo.parent / "sub" / photo.name
    other.parent.mkdir()
    other.write_bytes(photo.read_bytes())
    named_like_ours = photo.parent / "discs-mask.png"
    named_like_ours.write_bytes(photo.read_bytes())
    words = ("segment", "predict", photo, other, named_like_ours, "--weights", segmenter, "--out", photo.parent)
    results = striate(*words, "--json").json["results"]
    names = [Path(result["files"]["mask"]).name for result in results]
    assert names == ["discs-mask-2.png", "discs-mask-3.png", "discs-mask-mask.png"]
    assert photo.read_bytes() == other.read_bytes() == named_like_ours.read_bytes()


def test_a_bad_picture_costs_the_others_nothing(striate: Run, segmenter: Path, photo: Path, tmp_path: Path) -> None:
    bad, broken = tmp_path / "bad.png", tmp_path / "broken.mp4"
    bad.write_bytes(b"nothing")
    broken.write_bytes(b"nothing")
    ran = striate("segment", "predict", bad, photo, broken, "--weights", segmenter, "--json")
    assert ran.code == 3
    assert [set(result) == {"source", "error"} for result in ran.json["results"]] == [True, False, True]
    human = striate("segment", "predict", photo, "--weights", segmenter)
    assert all(word in human.out for word in ("discs.png", "nucleus", "share"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--overlay"], "--out with --overlay; got", id="overlay where"),
        pytest.param(["--csv"], "--out with --csv; got", id="table where"),
        pytest.param(["--of", "nucleus"], "--instances with --of; got", id="of what"),
        pytest.param(["--instances", "--of", "nuclues"], "did you mean 'nucleus'", id="class"),
        pytest.param(["--instances", "--method", "magic"], "watershed, components", id="method"),
        pytest.param(["--instances", "--least-area", "0"], "least_area of 1 or more", id="least area"),
        pytest.param(["--opacity", "2"], "opacity", id="opacity"),
        pytest.param(["--scales", "a"], "--scales as numbers", id="scales"),
        pytest.param(["--scales", "9"], "scales from 0.1 to 4", id="scale"),
    ],
)
def test_predict_refuses(
    striate: Run, segmenter: Path, photo: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    out = () if arguments[0] in ("--overlay", "--csv") else ("--out", tmp_path / "out")
    ran = striate("segment", "predict", photo, "--weights", segmenter, *out, *arguments, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert words in json.loads(ran.err)["error"]["message"]
    assert not list(tmp_path.glob("out/*.png"))


def test_val_measures_what_the_api_measures(striate: Run, segmenter: Path, nuclei: Path) -> None:
    shown = striate("segment", "val", nuclei, "--weights", segmenter, "--split", "val", "--json").json
    assert (shown["task"], shown["split"], shown["pictures"]) == ("segment", "val", 4)
    counts = shown["metrics"].pop("counts")
    expected = Segmenter.load(segmenter).evaluate(nuclei, "val")
    assert shown["metrics"] == json.loads(json.dumps(expected))
    assert {"miou", "pixel_accuracy", "dice", "class_iou"} <= shown["metrics"].keys()
    assert expected["dice"] > 0.85
    assert counts["true"] == sum(int(nuclei_picture(seed)[1].max()) for seed in range(100, 104))
    assert counts["pictures"] == 4
    assert abs(counts["relative_error"]) <= 0.35
    assert counts["f1"] > 0.7
    human = striate("segment", "val", nuclei, "--weights", segmenter, "--boundary", "--flip")
    assert human.code == 0, human.err
    assert all(word in human.out for word in ("miou", "nucleus", "boundary_f", "relative_error"))


def test_val_takes_the_split_there_is(striate: Run, segmenter: Path, nuclei: Path, tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).symlink_to(nuclei / kind / "val")
    shown = striate("segment", "val", tmp_path, "--weights", segmenter, "--json").json
    assert (shown["split"], shown["pictures"]) == ("train", 4)
    assert striate("segment", "val", nuclei, "--weights", segmenter, "--json").json["split"] == "val"
    missing = striate("segment", "val", nuclei, "--weights", segmenter, "--split", "tset")
    assert (missing.code, "tset" in missing.err) == (3, True)


def test_val_without_instance_maps_counts_nothing(striate: Run, segmenter: Path, nuclei: Path, tmp_path: Path) -> None:
    dataset = load_masks(nuclei, "val", names=NUCLEI)
    for kind in ("images", "masks"):
        (tmp_path / kind / "val").mkdir(parents=True)
    save_image(dataset.image(0), tmp_path / "images" / "val" / "a.png")
    Image.fromarray(dataset.mask(0)).save(tmp_path / "masks" / "val" / "a.png")
    shown = striate("segment", "val", tmp_path, "--weights", segmenter, "--json").json["metrics"]
    assert shown["counts"] is None
    assert "objects" not in striate("segment", "val", tmp_path, "--weights", segmenter).out


def test_export_is_the_segmenter(
    striate: Run, segmenter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the `export` extra")
    out = tmp_path / "discs.onnx"
    words = ("segment", "export", out, "--weights", segmenter)
    shown = striate(*words, "--pictures", "32x64", "--json").json
    assert (shown["file"], out.is_file(), 0 <= shown["difference"] < 1e-3) == (str(out), True, True)
    refused = striate(*words, "--pictures", "50x64")
    assert (refused.code, "multiples of 32" in " ".join(refused.err.split())) == (2, True)
    monkeypatch.setattr(Segmenter, "export", lambda self, path, size: 2.5e-6)
    ran = striate(*words)
    assert (ran.out, "on 16 pictures: 2.5e-06" in " ".join(ran.err.split())) == (f"{out}\n", True)
