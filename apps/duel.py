"""What the command and the Compare page share: contenders written as text, sets of pictures, the small set's budget."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.checks import UsageError, unknown

if TYPE_CHECKING:
    from ..bow_baseline.compare import Stage
    from ..bow_baseline.contender import Contender
    from ..bow_baseline.corruptions import Corruption
    from ..bow_baseline.results import Results
    from ..bow_baseline.summary import Summary
    from ..core.datasets.classes import ClassDataset

RENDERED = "rendered"
USUAL = ("bow", "bow-pyramid", "cnn", "mlp")
ALL, NONE = "all", "none"

# The rendered pictures have 80 pixels and colours that tell nothing: a third of the words do, and a small grey network
# that sees them shifted and mirrored. After 40 pictures of each class it is at 0.967; in colour and unchanged at 0.467.
SMALL: dict[str, dict[str, Any]] = {
    "bow": {"words": 200, "samples": 20_000},
    "bow-pyramid": {"words": 200, "samples": 20_000},
    "bow-llc": {"words": 200, "samples": 20_000},
    "bow-fisher": {"words": 16, "samples": 20_000},
    "cnn": {
        "image_size": 48, "channels": 1, "options": {"widths": [16, 32, 64]}, "augmentation": "objects", "epochs": 25,
        "least_steps": 250, "learning_rate": 1e-2,
    },
    "mlp": {"least_steps": 100},
}  # fmt: skip
SMALL_PER_CLASS, SMALL_TEST = 40, 30


def parse_contender(text: str, small: bool = False) -> Contender:
    """Make a contender of `[LABEL=]NAME[:option=value,...]`, such as `wide=cnn:epochs=40,network=resnet18`.

    Args:
        text: Values are JSON, or else plain text.
        small: Take the options that suit the rendered set where others are not given.

    Raises:
        UsageError: An unknown name or option.
    """
    from ..bow_baseline.contenders import make_contender

    label, name, given = parts_of("a contender", text, "epochs=20")
    for key in ("name", "label"):
        if key in given:
            fix = f"write {given[key] or 'mine'}={name or 'bow'} to give it a name"
            raise UsageError("options of the contender", repr(f"{key}={given[key]}"), fix)
    options = {key: value_of(value) for key, value in given.items()}
    usual = SMALL.get(name, {}) if small else {}
    return make_contender(name, label=label or (text if options else None), **{**usual, **options})


def parts_of(what: str, text: str, example: str) -> tuple[str, str, dict[str, str]]:
    """Part `[LABEL=]NAME[:option=value,...]` into label, "" for none, name and options, all of them text.

    Args:
        what: It is, for the message.
        text: As typed; commas before an option part options, others belong to its value.
        example: Of an option, for the message.

    Raises:
        UsageError: No text, or an option without a value.
    """
    _text(what, text)
    head, _, tail = text.partition(":")
    label, _, name = (part.strip() for part in head.rpartition("="))
    options: dict[str, str] = {}
    for part in re.split(r",(?=\s*\w+\s*=)", tail) if tail else []:
        key, mark, value = (piece.strip() for piece in part.partition("="))
        if not mark:
            raise UsageError("options as key=value between commas", repr(part), f"write {name}:{example}, say")
        options[key] = value
    return label, name, options


def parse_numbers(name: str, text: str) -> tuple[int, ...]:
    """Read "0,1,2"; nothing for "none".

    Raises:
        UsageError: anything else.
    """
    _text(f"--{name}", text)
    if text.strip() == NONE:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--{name} as whole numbers between commas", repr(text), f"write --{name} 5,10,20") from None


def parse_corruptions(text: str) -> dict[str, Corruption]:
    """Read "noise,blur", "all" or "none".

    Raises:
        UsageError: an unknown name.
    """
    from ..bow_baseline.corruptions import CORRUPTIONS

    _text("--corruptions", text)
    names = {ALL: list(CORRUPTIONS), NONE: []}.get(text.strip(), [part.strip() for part in text.split(",")])
    for name in names:
        if name not in CORRUPTIONS:
            raise unknown("corruption", name, [*CORRUPTIONS, ALL, NONE])
    return {name: CORRUPTIONS[name] for name in names}


def pictures(
    data: str | Path | None,
    *,
    split: str | None = None,
    test_share: float | None = None,
    most: Sequence[int] = (),
) -> tuple[ClassDataset, ClassDataset]:
    """Return the pictures to train on and to measure on; None or "rendered" renders the small set.

    Args:
        data: Folder of pictures by class.
        split: See `splits.train_and_test`.
        test_share: Likewise.
        most: Pictures a class, on average, to train on and to measure on: of larger sets a part is taken in which each
            class keeps its share. Empty takes all.

    Raises:
        DataError: a dataset that cannot be read.
        UsageError: `most` that is not two numbers of at least 2.
    """
    from ..bow_baseline.small_set import small_set
    from ..bow_baseline.splits import TEST_SHARE, stratified, train_and_test

    if len(most) not in (0, 2) or any(count < 2 for count in most):
        raise UsageError("two numbers of at least 2 in --most", ",".join(map(str, most)), "write --most 40,20")
    if data is None or str(data) == RENDERED:
        train, test = small_set(SMALL_PER_CLASS, test_per_class=SMALL_TEST)
    else:
        train, test = train_and_test(data, split=split, test_share=TEST_SHARE if test_share is None else test_share)
    return (stratified(train, most[0]), stratified(test, most[1])) if most else (train, test)


def compared(
    data: str = RENDERED,
    contenders: Sequence[str] = USUAL,
    *,
    seeds: Sequence[int] = (0,),
    per_class: Sequence[int] = (),
    corruptions: str = NONE,
    severities: Sequence[int] = (2, 4),
    resamples: int = 2000,
    most: Sequence[int] = (),
    on_progress: Callable[[Stage], None] | None = None,
) -> tuple[Results, Summary]:
    """Compare contenders as the Compare page does; `striate compare` takes the same options.

    Raises:
        StriateError: a set or contenders that cannot be used.
    """
    from ..bow_baseline.compare import Comparison
    from ..bow_baseline.summary import summarize

    comparison = Comparison(
        [parse_contender(text, data == RENDERED) for text in contenders],
        seeds=seeds,
        per_class=per_class,
        corruptions=parse_corruptions(corruptions),
        severities=severities,
        resamples=resamples,
    )
    results = comparison.run(*pictures(data, most=most), on_progress=on_progress)
    return results, summarize(results, count=2)


def as_python(asked: Mapping[str, Any]) -> str:
    """Write the call of `compared` with these keywords."""
    keywords = "".join(f"    {name}={value!r},\n" for name, value in asked.items())
    return f"from striate.apps.duel import compared\n\nresults, summary = compared(\n{keywords})"


def as_command(asked: Mapping[str, Any]) -> str:
    """Write the command that asks what `compared` does with these keywords."""
    words = ["striate", "compare"] + ([] if asked["data"] == RENDERED else [asked["data"]])
    for name in asked["contenders"]:
        words += ["-c", name]
    for name in ("seeds", "per_class", "corruptions", "severities", "resamples", "most"):
        value = asked[name]
        text = value if isinstance(value, str | int) else ",".join(map(str, value)) or NONE
        words += [f"--{name.replace('_', '-')}", str(text)]
    return shlex.join(words)


def own_sets() -> list[Path]:
    """Return the folders of pictures by class in the folder that STRIATE_DATA names; the page offers no others."""
    from ..core.datasets.load_classes import SPLITS

    folder = os.environ.get("STRIATE_DATA")
    if not folder or not Path(folder).is_dir():
        return []
    entries = sorted(path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith("."))
    return [path for path in entries if any("train" in splits(path) for splits in SPLITS.values())]


def _text(what: str, value: Any) -> None:
    """Raise a UsageError for what a config.json holds in place of text."""
    if not isinstance(value, str):
        raise UsageError(f"{what} as text", f"{type(value).__name__}: {value!r}", "put it into quotation marks")


def value_of(text: str) -> Any:
    """Read the value of an option: JSON, or else plain text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
