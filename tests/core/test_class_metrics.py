"""Figures of a classifier, against scikit-learn and by hand."""

from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import classification_report, confusion_matrix, log_loss, top_k_accuracy_score

from striate.core.class_metrics import calibration_error, class_figures, reliability
from striate.core.class_plots import calibration_svg, confusion_svg
from striate.core.classification import Classification

SVG = "{http://www.w3.org/2000/svg}"


def drawn(count: int = 500, classes: int = 7) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - 1, count)  # one class never occurs
    scores = rng.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return probabilities.astype(np.float32), labels, tuple("abcdefg"[:classes])


def test_figures_are_scikit_learns() -> None:
    probabilities, labels, names = drawn()
    got = class_figures(probabilities, labels, names)
    ids = list(range(len(names)))
    normalized = probabilities / probabilities.astype(np.float64).sum(1, keepdims=True)
    assert got["top1"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=1, labels=ids))
    assert got["top5"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=5, labels=ids))
    assert got["loss"] == pytest.approx(log_loss(labels, normalized, labels=ids), rel=1e-5)
    predicted = probabilities.argmax(1)
    assert got["confusion"] == confusion_matrix(labels, predicted, labels=ids).tolist()
    report = classification_report(labels, predicted, labels=ids, target_names=names, output_dict=True, zero_division=0)
    for name in names:
        theirs = report[name]
        ours = got["per_class"][name]
        assert ours["precision"] == pytest.approx(theirs["precision"])
        assert ours["recall"] == pytest.approx(theirs["recall"])
        assert ours["f1"] == pytest.approx(theirs["f1-score"])
        assert ours["count"] == theirs["support"]


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]], np.float32)
    labels = np.array([0, 1, 0, 0])
    # Two bins: (0.95, 0.95) with one of two right, (0.65, 0.65) with one of two right.
    expected = (2 * abs(0.5 - 0.95) + 2 * abs(0.5 - 0.65)) / 4
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-6)
    sure = np.array([[1.0, 0.0]], np.float32)
    assert calibration_error(sure, np.array([0])) == 0
    assert calibration_error(sure, np.array([1])) == 1


def test_reliability_is_scikit_learns() -> None:
    probabilities, labels, _ = drawn()
    rows = reliability(probabilities, labels, bins=10)
    right = probabilities.argmax(1) == labels
    theirs = calibration_curve(right, probabilities.max(1), n_bins=10)
    there = [(accuracy, sure) for count, sure, accuracy in rows if count]
    np.testing.assert_allclose(there, np.stack(theirs, 1), atol=1e-6)
    assert sum(count for count, _, _ in rows) == len(labels)


def test_plots_show_every_count_and_bin() -> None:
    probabilities, labels, names = drawn()
    figures = class_figures(probabilities, labels, ("<a>", *names[1:]))
    matrix = ElementTree.fromstring(confusion_svg(figures))
    cells = [int(t.text) for t in matrix.iter(f"{SVG}text") if (t.text or "").isdigit()]
    assert sorted(cells) == sorted(count for row in figures["confusion"] for count in row if count)
    assert [t.text for t in matrix.iter(f"{SVG}text")].count("<a>") == 2
    plot = ElementTree.fromstring(calibration_svg(figures))
    assert len(list(plot.iter(f"{SVG}circle"))) == sum(count > 0 for count, _, _ in figures["reliability"])
    many = class_figures(np.full((1, 200), 0.005, np.float32), np.array([3]), tuple(map(str, range(200))))
    assert "<text" in confusion_svg(many)


def test_no_pictures() -> None:
    got = class_figures(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), ("a", "b", "c"))
    assert (got["top1"], got["loss"], got["count"]) == (0, 0, 0)


def test_a_classification_prints_and_sorts() -> None:
    found = Classification(np.array([0.1, 0.6, 0.3], np.float32), ("cat", "dog", "fox"), "a.png")
    assert (found.label, found.class_id) == ("dog", 1)
    assert [name for name, _ in found.top(2)] == ["dog", "fox"]
    assert str(found) == "dog 60.0%, fox 30.0%, cat 10.0%"
    assert found.to_dict()["top"][0] == {"label": "dog", "score": pytest.approx(0.6)}
