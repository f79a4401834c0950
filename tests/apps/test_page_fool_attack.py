"""The Fool page's half that changes a picture: from settings to files, whom else it fools, and what is refused."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("streamlit", reason="needs the `app` extra")

from PIL import Image
from streamlit.testing.v1 import AppTest

import striate
from striate.adversarial import ATTACKS, Pgd, Results
from striate.adversarial.attack import Attack
from striate.adversarial.transfer import QUALITIES, jpeg_survival
from striate.apps import attack_worker, draw_pad, fool_outcome, fool_picture, second_looks
from striate.apps.any_classifier import any_classifier
from striate.apps.attack_worker import Asked, Job, about, ask_other, start
from striate.apps.pick import Picture
from striate.core.checks import ModelError, StriateError
from striate.core.class_pictures import centred_ink
from striate.core.images import encode_image, load_image, save_image

PAGE = Path(striate.__file__).parent / "apps" / "pages" / "fool.py"
WEIGHTS = "lenet5-mnist"


def drawing() -> np.ndarray:
    picture = np.zeros((280, 280, 3), np.uint8)
    cv2.putText(picture, "3", (70, 220), cv2.FONT_HERSHEY_SIMPLEX, 8, (255, 255, 255), 22)
    return picture


def asked(**more: Any) -> Asked:
    """A strong attack on a drawn three."""
    settings = {"options": (("distance", "linf"),), "epsilon": "64/255"} | more
    return Asked(Picture("three", "digit.png", centred_ink(drawing())), WEIGHTS, **settings)


def done(job: Job) -> Job:
    assert job.thread is not None
    job.thread.join(120)
    assert not job.running
    return job


@pytest.fixture(scope="module")
def fooled() -> Job:
    """An attack that has ended."""
    return done(start(asked(confidence=0.9)))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page, opened, with a drawn three for the network of digits."""
    text = draw_pad.PREFIX + base64.b64encode(encode_image(drawing(), "png")).decode()
    monkeypatch.setattr("streamlit.components.v2.component", lambda *a, **k: lambda **keywords: {"png": text})
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    page.selectbox(key="attack-weights").set_value(WEIGHTS).run()
    assert not page.exception
    return page


def attack(page: AppTest) -> Job:
    """Press the button, wait, and let the page show what came out."""
    page.button(key="attack-go").click().run()
    job: Job = page.session_state["attack-job"]
    done(job)
    page.run()
    assert not page.exception
    return job


def test_first_the_cat_is_offered() -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    assert page.selectbox(key="attack-weights").value == "small-cifar10"
    assert "press Attack" in page.info[0].value
    assert page.button(key="sample-cat").proto.type == "primary"


def test_an_attack_from_settings_to_files(page: AppTest) -> None:
    page.slider(key="attack-level-linf").set_value(64)
    page.selectbox(key=f"attack-target-{WEIGHTS}").set_value("8")
    job = attack(page)
    assert job.found is not None
    assert job.found.success
    assert page.markdown[0].value.startswith("**Fooled: 3 ")
    assert {"**Original**", "**What was added**", "**Result**"} <= {one.value for one in page.markdown}
    assert page.dataframe[0].value["quality"].tolist() == [f"JPEG {quality}" for quality in QUALITIES]
    assert {"--target 8" in job.asked.command(), "--epsilon 64/255" in job.asked.command()} == {True}
    assert {job.asked.command(), job.asked.python()} <= {code.value for code in page.code}
    page.multiselect(key=f"attack-others-{WEIGHTS}").set_value(["scenes15-bow"]).run()
    assert page.dataframe[1].value["model"].tolist() == ["scenes15-bow"]
    assert page.dataframe[1].value["so it is"][0].startswith("other classes")
    page.slider(key="attack-level-linf").set_value(32).run()
    assert any("earlier settings" in one.value for one in page.caption)


def test_a_failed_attack_says_so(page: AppTest) -> None:
    page.selectbox(key="attack-method").set_value("noise").run()
    page.slider(key="attack-level-linf").set_value(1)
    attack(page)
    assert page.markdown[0].value.startswith("**Not fooled: 3 ")
    assert not page.dataframe


def test_a_target_that_is_the_label_is_refused(page: AppTest) -> None:
    page.selectbox(key=f"attack-target-{WEIGHTS}").set_value("3")
    attack(page)
    assert [error.value for error in page.error] == ["This cannot be attacked"]


def test_a_bag_of_words_is_offered_attacks_without_gradients(page: AppTest) -> None:
    page.selectbox(key="attack-weights").set_value("scenes15-bow").run()
    offered = page.selectbox(key="attack-method").options
    expected = {fool_picture.TITLES[name] for name in ("square", "hopskipjump", "one-pixel", "noise")}
    assert set(offered) == expected
    assert any("300 × 200 pixels, for speed" in one.value for one in page.caption)  # the cat has 451 × 300


def test_every_attack_on_one_picture_has_a_title() -> None:
    assert set(fool_picture.TITLES) == set(ATTACKS) - {"universal"}
    for name, options in fool_picture.SHORTER.items():
        assert dict(options).items() <= ATTACKS[name](**dict(options)).config().items()


def test_an_average_level_is_a_budget_of_the_whole_picture() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    assert fool_picture.budget(8, (("distance", "linf"),), image) == "8/255"
    moved = np.full(image.shape, 4 / 255)
    assert fool_picture.budget(4, (("distance", "l2"),), image) == f"{np.linalg.norm(moved):.3f}"
    assert fool_picture.budget(None, (), image) is None


def test_the_program_does_what_the_page_did(fooled: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fooled.found is not None
    monkeypatch.chdir(tmp_path)
    save_image(fooled.asked.picture.image, "digit.png")
    names: dict[str, Any] = {}
    exec(fooled.asked.python(), names)
    np.testing.assert_array_equal(load_image("fooled.png"), fooled.found.image)


def test_the_command_does_what_the_page_did(
    fooled: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, striate: Callable[..., Any]
) -> None:
    assert fooled.found is not None
    monkeypatch.chdir(tmp_path)
    save_image(fooled.asked.picture.image, "digit.png")
    assert striate(*fooled.asked.command().split()[1:]).code == 0
    np.testing.assert_array_equal(load_image("fooled.png"), fooled.found.image)


def test_samples_and_bags_are_named_in_code() -> None:
    sample = Picture("cat", "cat.png", np.zeros((4, 4, 3), np.uint8), "cat")
    ours = Asked(sample, "scenes15-bow", "square", (("distance", "l2"),), "2.5", "coast", 0.5)
    assert ours.command().startswith("striate samples --out samples\nstriate attack samples/cat.png ")
    assert "from striate.bow_baseline import BowClassifier" in ours.python()
    assert "sample('cat').image(), epsilons=2.5, target='coast'" in ours.python()
    assert "criterion=Targeted() & ConfidenceAtLeast(0.5)" in ours.python()
    compile(ours.python(), "page", "exec")


def test_files_hold_picture_and_settings(fooled: Job) -> None:
    found = fooled.found
    assert found is not None
    data = fool_outcome.png(found.image, fooled, found, "Result")
    np.testing.assert_array_equal(load_image(data), found.image)
    settings = json.loads(Image.open(io.BytesIO(data)).text["striate"])  # type: ignore[attr-defined]
    assert settings["weights"] == WEIGHTS
    assert settings["command"] == fooled.asked.command()
    assert {name: settings[name] for name in found.to_dict()} == json.loads(json.dumps(found.to_dict()))


def test_jpeg_agrees_with_the_survival_curve(fooled: Job) -> None:
    found = fooled.found
    assert found is not None
    assert found.confidence >= 0.9
    survives = jpeg_survival(Results([found]), any_classifier(WEIGHTS))
    said = {one.who: one for one in fooled.jpeg}
    for quality in QUALITIES:
        look = said[f"JPEG {quality}"]
        assert look.before == "3"
        assert look.verdict == (second_looks.FOOLED if survives[quality] else second_looks.NOT_FOOLED)


class Says:
    """A model of fixed answers: about the original, and about anything else."""

    def __init__(self, names: tuple[str, ...], original: np.ndarray, before: str, after: str) -> None:
        self.names, self.original, self.answers = names, original, (before, after)

    def predict_proba(self, pictures: list[np.ndarray]) -> np.ndarray:
        said = [self.answers[0 if np.array_equal(one, self.original) else 1] for one in pictures]
        return np.array([[0.9 if name == one else 0.1 for name in self.names] for one in said])


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("3", "5", second_looks.FOOLED),
        ("3", "3", second_looks.NOT_FOOLED),
        ("5", "5", second_looks.DISAGREED),
        ("cat", "cat", second_looks.STAYS),
        ("cat", "dog", second_looks.MOVED),
    ],
)
def test_what_others_say(fooled: Job, before: str, after: str, verdict: str) -> None:
    found = fooled.found
    assert found is not None
    names = ("cat", "dog") if before == "cat" else found.names
    look = second_looks.by_other("other", Says(names, found.original, before, after), found)
    assert (look.before, look.after, look.verdict) == (before, after, verdict)
    assert (look.before_score, look.after_score) == (0.9, 0.9)


def test_another_class_than_the_target_is_not_what_was_wanted() -> None:
    found = done(start(asked(target="8"))).found
    assert found is not None
    assert found.success
    for after, verdict in (("8", second_looks.FOOLED), ("5", second_looks.NOT_FOOLED)):
        look = second_looks.by_other("other", Says(found.names, found.original, "3", after), found)
        assert look.verdict == verdict


def test_another_model_is_asked_once(fooled: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask_other(fooled, "small-fashion")
    monkeypatch.setattr(attack_worker, "by_other", None)
    assert ask_other(fooled, "small-fashion") is first
    with pytest.raises(ModelError, match="an attack that has ended"):
        ask_other(Job(asked()), "small-fashion")


def test_a_stopped_attack_ends_without_a_result() -> None:
    job = start(asked(method="square", epsilon="1/255", options=(("distance", "linf"), ("queries", 10**4))))
    job.stop.set()
    assert done(job).stopped
    assert (job.found, job.error) == (None, None)
    assert not attack_worker.computing.locked()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_foresaw_ends_the_attack_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*a: Any, **k: Any) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(Attack, "run", fails)
    with pytest.raises(StriateError, match=r"an attack that ends.*ZeroDivisionError\('odd'\)"):
        raise done(start(asked())).error or AssertionError
    assert not attack_worker.computing.locked()


def test_names_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    any_classifier(WEIGHTS).save(path)
    assert about(str(path)) == about(WEIGHTS) == ("Classifier", tuple("0123456789"))
    path.write_bytes(b"nothing")
    with pytest.raises(StriateError):
        about(str(path))


def test_settings_differ_by_the_key_of_the_picture() -> None:
    one, same = asked(), asked()
    assert not one.differs(same)
    assert one.differs(asked(seed=1))
    assert one.differs(Asked(Picture("four", "digit.png", one.picture.image), WEIGHTS, "pgd", one.options, "64/255"))


def test_the_worker_passes_settings_on(fooled: Job) -> None:
    assert fooled.found is not None
    plain = Pgd(distance="linf", epsilon=64 / 255)
    ours = plain.run(
        any_classifier(WEIGHTS), fooled.asked.picture.image, criterion=fooled.asked.criterion(), seed=0
    )  # fmt: skip
    np.testing.assert_array_equal(fooled.found.image, ours.image)
    assert 0 < fooled.step <= fooled.steps
