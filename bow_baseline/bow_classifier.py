"""`BowClassifier`: learn classes from labelled pictures with a bag of visual words and an SVM, name them on others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.checkpoints import load_checkpoint, save_checkpoint
from ..core.checks import CheckpointError, DataError, ModelError, UsageError, unknown
from ..core.classification import Classification
from ..core.datasets.classes import ClassDataset
from ..core.datasets.load_classes import load_classes, training_class_splits
from ..core.history import Progress
from ..core.images import Source, load_image
from ..core.weights import resolve
from .bag import Bag
from .bow_parts import make_bag, make_decider, restored, tensors_of
from .bow_training import Decider, dataset_of, learn, measure
from .explain import Explanation, explain
from .extraction import extract
from .options import plain


class BowClassifier:
    """A bag of visual words (Csurka et al. 2004) with a spatial pyramid (Lazebnik et al. 2006) and an SVM.

    Args:
        names: Class names by class id; empty takes them from the data given to `fit`.
        describer: A key of `descriptors.DESCRIBERS`.
        describer_options: Its keywords, such as {"step": 4}.
        encoder: A key of `encoding.ENCODERS`. "hard" explains itself exactly; "fisher" names most pictures right: of
            the 15 scenes 85 % with the pyramid "1x1+2x2", cross-validated, against 79 % of the default.
        words: Size of the vocabulary; None is the encoder's own.
        encoder_options: The encoder's other keywords.
        samples: Descriptors that the vocabulary is learned from.
        pyramid: Cells of the picture; see `pyramid.Pyramid`.
        level_weights: "equal" or "lazebnik".
        region: Normalization of each cell's vector; None is "power" for "vlad" and "fisher", else "none".
        whole: Normalization of the picture's vector; None is "l2" for "llc", "vlad" and "fisher", else "l1".
        views: "one", or "flip" for the mean of the picture's vector and its mirror image's.
        decider: "svm", or "nearest" for k-nearest neighbours.
        decider_options: Other keywords of `svm.KernelSvm` or `nearest.NearestPictures`.
        kernel: The SVM's; None is "chi2-map" for "hard", "soft" and "grid", else "linear".
        c: The SVM's C; None chooses it by cross-validation.
        seed: Of everything.

    Attributes:
        bag_, decider_: Make a picture's vector and name its class; None before `fit` or `load`.
        figures_: What `fit` found, for people: pictures, descriptors, C, cross-validated top1, seconds of each stage.

    Example:
        >>> BowClassifier(encoder="llc", words=256).config()["words"]
        256
    """

    task = "bow"

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        describer: str = "dense",
        describer_options: Mapping[str, Any] | None = None,
        encoder: str = "fisher",
        words: int | None = None,
        encoder_options: Mapping[str, Any] | None = None,
        samples: int = 100_000,
        pyramid: str = "1x1+2x2",
        level_weights: str = "equal",
        region: str | None = None,
        whole: str | None = None,
        views: str = "one",
        decider: str = "svm",
        decider_options: Mapping[str, Any] | None = None,
        kernel: str | None = None,
        c: float | None = None,
        seed: int = 0,
    ) -> None:
        self.names = tuple(names)
        self.describer, self.describer_options = describer, describer_options
        self.encoder, self.words, self.encoder_options, self.samples = encoder, words, encoder_options, samples
        self.pyramid, self.level_weights, self.region, self.whole = pyramid, level_weights, region, whole
        self.views, self.decider, self.decider_options = views, decider, decider_options
        self.kernel, self.c, self.seed = kernel, c, seed
        self.bag_: Bag | None = None
        self.decider_: Decider | None = None
        self.figures_: dict[str, Any] = {}
        make_bag(self.config())
        make_decider(self.config())

    def config(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values."""
        return {name: plain(getattr(self, name)) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.config().items())})"

    def fit(
        self,
        data: ClassDataset | str | Path | Sequence[Source],
        labels: Sequence[Any] | None = None,
        *,
        cache: str | Path | None = None,
        jobs: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> BowClassifier:
        """Learn words and classes from labelled pictures, anew each time; one whose training fails stays as it was.

        Args:
            data: A dataset, the folder of one (its split "train" is taken), or pictures.
            labels: Class ids or names, where `data` are pictures; None else.
            cache: An existing folder, where vectors and words are kept by content, so that a training that was stopped
                or differs in its decider alone is done again soon. None keeps nothing.
            jobs: Pictures, then machines, at a time; None leaves it to `joblib.parallel_config`, and is one without it.
            on_progress: Called as pictures are encoded; the stages are counted as epochs.

        Raises:
            DataError: Fewer than two classes, other classes than `names`, a class without pictures, too many files that
                cannot be read (the others are named in the dataset's report), or fewer descriptors than words.
            UsageError: No such folder, or a kernel's option out of range.
        """
        if isinstance(data, ClassDataset | str | Path) == (labels is not None):
            got = f"{type(data).__name__} {'with' if labels is not None else 'without'} labels"
            raise UsageError("a dataset, or pictures and their labels", got, "call fit(data) or fit(pictures, labels)")
        fixed = self.bag_ is None
        if not isinstance(data, ClassDataset | str | Path):
            data = dataset_of(data, [] if labels is None else labels, self.names, fixed=fixed)
        train, _ = training_class_splits(data, None, self.names, fixed=fixed)
        bag, decider = make_bag(self.config()), make_decider(self.config())
        options: dict[str, Any] = {"jobs": jobs, "cache": cache, "on_progress": on_progress}
        figures = learn(bag, decider, train, samples=self.samples, seed=self.seed, **options)
        self.names, self.bag_, self.decider_, self.figures_ = train.names, bag, decider, figures
        return self

    @overload
    def predict(self, source: list[Source], *, channels: str = "rgb") -> list[Classification]: ...

    @overload
    def predict(self, source: Source, *, channels: str = "rgb") -> Classification: ...

    def predict(self, source: Source | list[Source], *, channels: str = "rgb") -> Classification | list[Classification]:
        """Name what a picture shows, or each of a list.

        Args:
            source: Path, bytes, PIL picture, array or tensor; see `core.images.load_image`.
            channels: Order of arrays, "rgb" or "bgr".

        Raises:
            ModelError: A classifier that was not trained.
            ImageError: A picture that cannot be read.
        """
        sources = source if isinstance(source, list) else [source]
        found = [
            Classification(row, self.names, str(one) if isinstance(one, str | Path) else None)
            for one, row in zip(sources, self.predict_proba(sources, channels=channels), strict=True)
        ]
        return found if isinstance(source, list) else found[0]

    def predict_proba(
        self, sources: list[Source], *, channels: str = "rgb", jobs: int | None = None
    ) -> NDArray[np.float32]:
        """Return the probabilities of the classes, float32 (len(sources), classes); the likeliest has the best score.

        Args:
            sources: As `predict`'s.
            channels: As `predict`'s.
            jobs: As `fit`'s.
        """
        return self._of_each(sources, channels, jobs, lambda v: self._trained()[1].predict_proba(v)).astype(np.float32)

    def decision_function(
        self, sources: list[Source], *, channels: str = "rgb", jobs: int | None = None
    ) -> NDArray[np.float64]:
        """Return the scores of the classes, (len(sources), classes): the machines', or the shares of the votes."""
        return self._of_each(sources, channels, jobs, lambda vectors: self._trained()[1].scores(vectors))

    def features(self, sources: list[Source], *, channels: str = "rgb", jobs: int | None = None) -> NDArray[np.float32]:
        """Return the vectors that the classes are told from, float32 (len(sources), D)."""
        return self._of_each(sources, channels, jobs, lambda vectors: vectors)

    def _of_each(
        self, sources: list[Source], channels: str, jobs: int | None, tell: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        bag, _ = self._trained()
        if not sources:
            return tell(np.zeros((1, bag.width), np.float32))[:0]
        parts = extract(bag, sources, channels=channels, jobs=jobs, strict=True)
        return np.concatenate([tell(part.vectors) for part in parts])

    def evaluate(
        self,
        data: ClassDataset | str | Path,
        split: str = "val",
        *,
        jobs: int | None = None,
        cache: str | Path | None = None,
    ) -> dict[str, Any]:
        """Measure accuracy on labelled pictures; the dataset's report names files that could not be read.

        Args:
            data: A dataset, or the folder of one.
            split: Which split of the folder.
            jobs: As `fit`'s.
            cache: As `fit`'s.

        Returns:
            "top1", "top5", "loss", "calibration_error", "confusion", "per_class"; see `class_metrics.class_figures`.

        Raises:
            ModelError: A classifier that was not trained.
            DataError: A dataset that cannot be read, or whose classes are not the classifier's.
        """
        trained = self._trained()
        dataset = data if isinstance(data, ClassDataset) else load_classes(data, split, names=self.names)
        if dataset.names != self.names:
            fix = "read it with names=classifier.names"
            raise DataError(f"pictures of the classes {self.names}", f"{dataset.names}", fix)
        if len(dataset) == 0:
            raise DataError("pictures to measure on", f"none in {dataset.root}", "choose another split")
        return measure(*trained, dataset, jobs=jobs, cache=cache)

    def explain(self, source: Source, label: str | int | None = None, *, channels: str = "rgb") -> Explanation:
        """Tell what each visual word and each place of a picture says for or against a class.

        Args:
            source: As `predict`'s.
            label: The class, by name or number; None takes the one with the best score.
            channels: As `predict`'s.

        Raises:
            UsageError: No such class.
            ModelError: A classifier that was not trained.
            ImageError: A picture that cannot be read.
        """
        bag, decider = self._trained()
        image = load_image(source, channels=channels)
        if label is None:
            label = int(decider.scores(bag.vector(image)[None])[0].argmax())
        if not (label in self.names if isinstance(label, str) else 0 <= label < len(self.names)):
            raise unknown("class", str(label), self.names)
        class_id = self.names.index(label) if isinstance(label, str) else int(label)
        path = str(source) if isinstance(source, str | Path) else None
        return explain(bag, decider, image, class_id, self.names[class_id], path)

    def to(self, device: str | torch.device) -> BowClassifier:
        """Look for nearest words on "cpu" or "cuda"; returns itself. A UsageError for "fisher", which has no words."""
        self._trained()[0].encoder.to(device)
        return self

    def save(self, path: str | Path, **about: Any) -> Path:
        """Save what was learned, the keywords and the class names in one safetensors file.

        Args:
            path: Ends in .safetensors.
            about: More to keep in the header as JSON, such as figures and licence.

        Raises:
            ModelError: A classifier that was not trained.
            SaveError: The file cannot be written; the one that was there is untouched.
        """
        meta = {"kind": type(self).__name__, "config": self.config(), "names": list(self.names)}
        return save_checkpoint(path, tensors_of(*self._trained()), {**meta, "figures": self.figures_, **about})

    @classmethod
    def load(cls, path: str | Path) -> BowClassifier:
        """Load what `save` wrote; nothing in the file is executed.

        Raises:
            CheckpointError: A file that is damaged, foreign, of another class, of a newer version, or whose arrays are
                not those of its options.
        """
        tensors, meta = load_checkpoint(path, kind=cls.__name__)
        try:
            model = cls(**meta["config"])
            model.bag_, model.decider_ = restored(model.config(), tensors)
            model.figures_ = dict(meta.get("figures", {}))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            expected = f"a {cls.__name__} checkpoint of this version"
            raise CheckpointError(expected, f"{path}: {error}", "update Striate, or save the model again") from error
        return model

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> BowClassifier:
        """Load weights by name, such as "scenes15-bow", or by path; never uses the network.

        Raises:
            ModelError: An unknown name, or weights that have to be fetched first.
        """
        return cls.load(resolve(name_or_path, cls.task))

    def _trained(self) -> tuple[Bag, Decider]:
        if self.bag_ is None or self.decider_ is None:
            raise ModelError("a classifier that was trained", "one that was not", "call fit, load or from_pretrained")
        return self.bag_, self.decider_
