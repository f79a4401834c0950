"""`striate compare` with attacks, transferred pictures and textures: what it writes, reads again, and refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from striate.apps import cli_compare, duel_attacks, duel_textures
from striate.apps.cli import main
from striate.apps.duel_attacks import parse_attacks
from striate.apps.duel_textures import Texture, parse_textures
from striate.core.checks import DataError
from striate.core.images import save_image
from striate.style.patterns import pattern
from striate.tests.bow_baseline.stand_ins import as_folders, bands

CONTENDERS = ["-c", "linear:epochs=2,least_steps=40", "-c", "words=bow:words=4,samples=500"]
HOP = "hopskipjump:steps=1,samples=4,halvings=4,starts=3"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_folders(bands(8, side=32), tmp_path_factory.mktemp("bands"))


@pytest.fixture(scope="module")
def asked(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A command with everything, and the folder of its report."""
    folder = tmp_path_factory.mktemp("compared")
    words = ["compare", str(folders), *CONTENDERS, "--test-share", "0.25", "--resamples", "50", "--attacked", "3"]
    words += ["-a", "pgd:steps=3,epsilon=64/255,early_stop=false", "-a", "noise:tries=1", "--black-box", HOP]
    words += ["--transfer", "all", "--texture", "mosaic:steps=2", "--severities", "5", "--json"]
    assert main([*words, "--out", str(folder / "one"), "--cache", str(folder / "cache")]) == 0
    return words, folder


def test_each_is_attacked_by_what_it_gives_and_shown_what_was_made_against_others(asked) -> None:
    _, folder = asked
    rows = list(csv.DictReader((folder / "one" / "attacks.csv").read_text().splitlines()))
    names = "linear:epochs=2,least_steps=40", "words"
    assert {(row["contender"], row["made_against"]) for row in rows} == {(a, b) for a in names for b in names}
    by = {(row["attack"].split(":")[0], row["made_against"]): row["by"] for row in rows}
    assert by["pgd", names[0]] == "pgd"
    assert by["pgd", "words"] == "hopskipjump"
    assert by["noise", "words"] == "noise"
    own = next(row for row in rows if row["by"] == "pgd" and row["contender"] == names[0])
    assert float(own["after"]) < float(own["before"])
    report = (folder / "one" / "report.md").read_text()
    assert "## Attacks" in report
    assert "| made against | by |" in report
    assert "texture-mosaic" in report
    assert (folder / "one" / "robustness_texture-mosaic.svg").is_file()


def test_the_config_tells_the_settings(asked) -> None:
    _, folder = asked
    config = json.loads((folder / "one" / "config.json").read_text())
    told = config["attacks"]["pgd:steps=3,epsilon=64/255,early_stop=false"]["options"]
    assert "steps=3" in told["attack"]
    assert "HopSkipJump(epsilon=None, steps=1" in told["black_box"]
    assert config["transfers"] == ["linear:epochs=2,least_steps=40", "words"]
    texture = config["corruption_options"]["texture-mosaic"]
    assert {name: texture[name] for name in ("picture", "size", "steps")} == {
        "picture": "mosaic", "size": 128, "steps": 2,
    }  # fmt: skip


def test_the_config_asks_the_same_again_and_nothing_is_attacked_twice(
    asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = asked
    from striate.adversarial.contest import Contest

    monkeypatch.setattr(Contest, "__call__", lambda *a: pytest.fail("attacked again"))
    again = ["compare", "--config", str(folder / "one" / "config.json"), "--cache", str(folder / "cache")]
    assert main([*again, "--json", "--out", str(folder / "two")]) == 0
    assert "attack" not in capsys.readouterr().err
    for name in ("attacks.csv", "robustness.csv"):
        assert (folder / "one" / name).read_text() == (folder / "two" / name).read_text()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["-a", "pdg"], 2, "did you mean 'pgd'"),
        (["-a", "pgd:step=3"], 2, "did you mean 'steps'"),
        (["-a", "pgd:3"], 2, "write pgd:steps=20, say"),
        (["-a", "mine=pgd"], 2, "--attack as NAME[:option=value,...] got 'mine=pgd'"),
        (["-a", "pgd", "--black-box", "hopskip"], 2, "did you mean 'hopskipjump'"),
        (["-a", "pgd", "--black-box", "fgsm"], 2, "an attack without gradients for --black-box got 'fgsm'"),
        (["--black-box", "square"], 2, "--attack with --black-box got --black-box square alone"),
        (["--attacked", "3"], 2, "--attack with --attacked got --attacked 3 alone"),
        (["-a", "pgd", "--attacked", "0"], 2, "attacked to be a whole number of at least 1 got 0"),
        (["-a", "pgd", "--transfer", "wordz"], 2, "did you mean 'words'"),
        (["--transfer", "words"], 2, "an attack that makes the pictures to transfer got none"),
        (["--texture", "mosaik"], 2, "did you mean 'mosaic'"),
        (["--texture", "mosaic:step=3"], 2, "did you mean 'steps'"),
        (["--texture", "mosaic:strength=0.5"], 2, "option of --texture to be one of size"),
        (["--texture", "mosaic:steps=many"], 2, "options of --texture of the right types"),
        (["--texture", "mosaic:size=small"], 2, "a size of 0 or more in --texture got 'small'"),
        (["--texture", "mosaic:about=x"], 2, "options of --texture got 'mosaic:about=x'"),
        (["--texture", "a/b=mosaic"], 2, "a label of letters, digits, dots and dashes for --texture got 'a/b'"),
        (["--texture", "blur=mosaic", "--corruptions", "blur"], 2, "'blur' twice to do write mine=mosaic"),
        (["--texture", "mosaic", "--texture", "mosaic:steps=3"], 2, "'texture-mosaic' twice"),
    ],
)
def test_faults(
    more: list, code: int, said: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(cli_compare, "pictures", lambda *a, **k: pytest.fail("read before the options were checked"))
    assert main(["compare", str(folders), *CONTENDERS, *more, "--fresh", "--out", str(tmp_path / "r")]) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_being_asked_for_nothing_is_attacked_or_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_attacks([]) == {}
    assert parse_textures([]) == {}
    assert not {"attacks", "textures", "transfers"} & set(cli_compare.SMALL_ASKED)


def test_the_black_box_takes_distance_and_budget_where_it_knows_them() -> None:
    def box(attack: str, black_box: str):
        return next(iter(parse_attacks([attack], black_box).values())).black_box

    stand_in = box("pgd:distance=l2,epsilon=1.5", "square:queries=7")
    assert (stand_in.distance.name, stand_in.epsilon, stand_in.queries) == ("l2", 1.5, 7)
    assert box("pgd", "square:epsilon=2/255").epsilon == 2 / 255
    assert box("pgd:distance=l2", "square:distance=linf").distance.name == "linf"
    assert box("pgd", duel_attacks.BLACK_BOX).epsilon is None  # the contest gives it one for each picture's size


def test_a_texture_takes_over_by_severity_and_leaves_the_size() -> None:
    image = np.full((40, 52, 3), 128, np.uint8)
    image[8:32, 12:40] = (220, 60, 40)
    texture = Texture(pattern("mosaic", size=64), "mosaic", steps=4)
    before, rng = image.copy(), np.random.default_rng(0)
    one, five = (texture(image, severity, rng) for severity in (1, 5))
    assert one.shape == five.shape == image.shape
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(texture(image, 5, rng), five)
    rough = [float(np.abs(np.diff(v[9:31, 13:39].astype(int), axis=1)).mean()) for v in (image, one, five)]
    assert rough[0] < rough[1] < rough[2]


@pytest.mark.parametrize(
    ("size", "height", "width", "side"),
    [(128, 300, 200, 128), (128, 80, 80, 80), (0, 300, 200, 300), (128, 20, 20, 48), (128, 40, 400, 480)],
    ids=["large ones are painted small", "as it is", "no limit", "enough for the features", "a long one"],
)
def test_sizes_of_paintings(size: int, height: int, width: int, side: int) -> None:
    texture = Texture(pattern("mosaic", size=64), "mosaic", size=size)
    assert texture._side(height, width) == side


def test_pictures_are_textures_by_path_and_pixels_tell_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "of stone:1.png"
    save_image(pattern("woodcut", size=64), path)
    ((label, texture),) = parse_textures([str(path)]).items()
    assert label == "texture-of-stone-1"
    assert texture.options["picture"] == str(path)
    plain = save_image(pattern("woodcut", size=64), tmp_path / "wood.png")
    ((label, other),) = parse_textures([f"mine={plain}:steps=2,size=64"]).items()
    assert (label, other.size, other.settings) == ("mine", 64, {"steps": 2})
    assert other.options["pixels"] == texture.options["pixels"]
    other = Texture(pattern("mosaic", size=64), str(path))
    assert other.options["pixels"] != texture.options["pixels"]


def test_a_painting_without_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unfinished:
        finished, notice = False, "the loss was not finite"

    class Painter:
        def transform(self, image: np.ndarray) -> Unfinished:
            return Unfinished()

    monkeypatch.setattr(duel_textures.Texture, "_painter", lambda *a: Painter())
    texture = Texture(pattern("mosaic", size=64), "mosaic")
    with pytest.raises(DataError, match=r"all its steps from --texture; got the loss was not finite"):
        texture(np.zeros((48, 48, 3), np.uint8), 1, np.random.default_rng(0))
