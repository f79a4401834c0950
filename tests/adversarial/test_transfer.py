"""Who else is fooled: other models, and the same one after JPEG."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import Attackable, HopSkipJump, Pgd
from striate.adversarial.defended import jpeg
from striate.adversarial.results import Result, Results
from striate.adversarial.transfer import jpeg_survival, surviving, transfer_matrix, transferred
from striate.core.checks import DataError, UsageError
from striate.tests.adversarial.stand_ins import NAMES, pictures


class Asked:
    """A victim as a model with `predict_proba`."""

    def __init__(self, ask, names=NAMES) -> None:
        self.predict_proba, self.names = ask, names


def test_what_survives_jpeg_is_counted(small: Attackable) -> None:
    model, given = Asked(small.probabilities), pictures(12, 24, 24)
    found = Pgd(steps=10).run(small, given, epsilons=0.03)
    survival = jpeg_survival(found, model, (100, 10))
    fooled = [one for one in found if one.success]
    assert len(fooled) >= 6
    for quality, share in survival.items():
        says = small.probabilities([jpeg(quality)(one.image) for one in fooled]).argmax(1)
        assert share == np.mean([NAMES[i] != one.label for i, one in zip(says, fooled, strict=True)])
    assert np.isnan(surviving(found[:0], model, jpeg(50)))
    aimed = Pgd(steps=10).run(small, given[:4], target=[_other(small, one) for one in given[:4]], epsilons=0.1)
    assert surviving(aimed, model, lambda image: image) == 1


def _other(small: Attackable, image: np.ndarray) -> int:
    return (int(small.probabilities([image]).argmax()) + 1) % 4


def test_a_transfer_matrix_has_those_attacked_as_rows(small: Attackable, images) -> None:
    other = Attackable(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4)).eval(), NAMES)
    box = Asked(other.probabilities)
    labels = [NAMES[i] for i in small.probabilities(images).argmax(1)]

    class Network(Asked):
        gives, device = "gradients", torch.device("cpu")
        scores, seen, check, probabilities = small.scores, small.seen, small.check, small.probabilities

    models = {"cnn": Network(small.probabilities), "bow": box}
    found = transfer_matrix(models, images, labels, {"cnn": Pgd(steps=10)}, epsilon=0.1)
    assert (found.rows, found.columns) == (("cnn",), ("cnn", "bow"))
    alone = Pgd(steps=10).run(small, images, labels, epsilons=0.1)
    assert found.fooled[0, 0] == pytest.approx(alone.success_rate)
    assert found.counts[0, 0] == 6
    assert found.to_dict()["fooled"][0][0] == found.fooled[0, 0]
    both = transfer_matrix(models, images, labels, {"cnn": Pgd(steps=5), "bow": HopSkipJump(steps=1, samples=5)})
    assert both.fooled.shape == (2, 2)
    with pytest.raises(UsageError, match="at least one model; got none"):
        transfer_matrix({}, images, labels, Pgd())
    with pytest.raises(UsageError, match="model to be one of cnn, bow; got 'cn'"):
        transfer_matrix(models, images, labels, {"cn": Pgd()})
    with pytest.raises(DataError, match="models of the same classes; got cnn: 4 classes, x: 2 classes"):
        transfer_matrix({"cnn": models["cnn"], "x": Asked(None, ("a", "b"))}, images, labels, Pgd())


def test_labels_may_be_numbers_and_models_networks(small: Attackable, images) -> None:
    ids = small.probabilities(images).argmax(1)
    by_name, by_number = (
        transfer_matrix({"cnn": small}, images, labels, Pgd(steps=5), epsilon=0.1)
        for labels in ([NAMES[i] for i in ids], ids)
    )
    assert by_number.fooled[0, 0] == by_name.fooled[0, 0] > 0
    assert by_number.counts[0, 0] == 6
    assert set(jpeg_survival(Pgd(steps=5).run(small, images, epsilons=0.1), small, (90,))) == {90}
    with pytest.raises(UsageError, match="labels as names or numbers 0 to 3; got 7"):
        transfer_matrix({"cnn": small}, images[:1], [7], Pgd())


def test_results_that_are_there_need_no_second_attack(small: Attackable, images) -> None:
    other = Attackable(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4)).eval(), NAMES)
    models, labels = {"one": small, "two": other}, [NAMES[i] for i in small.probabilities(images).argmax(1)]
    attack = Pgd(steps=5)
    made = {name: attack.run(model, images, labels, epsilons=0.1) for name, model in models.items()}
    found, anew = transferred(models, made), transfer_matrix(models, images, labels, attack, epsilon=0.1)
    np.testing.assert_array_equal(found.fooled, anew.fooled)
    np.testing.assert_array_equal(found.counts, anew.counts)
    for wrong in (made["two"][:3], attack.run(other, images[::-1], labels[::-1], epsilons=0.1)):
        with pytest.raises(UsageError, match="results about the same pictures; got others for 'two'"):
            transferred(models, {**made, "two": wrong})
    with pytest.raises(UsageError, match="model to be one of one, two; got 'three'"):
        transferred(models, {"three": made["one"]})


def test_a_picture_with_a_target_fools_who_names_the_target() -> None:
    images = [np.zeros((4, 4, 3), np.uint8)] * 3

    def named(*labels: str) -> Asked:
        """A model that says "a" of the originals, and these labels of the changed ones, whose values are 1 + row."""

        def ask(given: list[np.ndarray]) -> np.ndarray:
            return np.eye(4, dtype=np.float32)[[NAMES.index(("a", *labels)[one[0, 0, 0]]) for one in given]]

        return Asked(ask)

    def made(target: str | None) -> Results:
        changed = [np.full((4, 4, 3), 1 + row, np.uint8) for row in range(3)]
        sure = np.full(4, 0.25, np.float32)
        about = (sure, sure, NAMES, "Pgd()", "linf", 0.1, 1, 1, 0.0, 0)
        return Results(
            [Result(new, old, "a", "a", "b", target, True, *about) for new, old in zip(changed, images, strict=True)]
        )

    models = {"own": named("b", "b", "b"), "other": named("b", "c", "a")}
    assert transferred(models, {"own": made("b")}).fooled.tolist() == [[1, pytest.approx(1 / 3)]]
    assert transferred(models, {"own": made(None)}).fooled.tolist() == [[1, pytest.approx(2 / 3)]]
    for target, share in (("b", 1 / 3), (None, 2 / 3)):
        assert surviving(made(target), models["other"], lambda image: image) == pytest.approx(share)
