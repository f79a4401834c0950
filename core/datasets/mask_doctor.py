"""What is wrong with masks before anyone trains on them, each finding with the line or the step that mends it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import DataError, StriateError
from ..images import load_image
from .class_list import ClassList
from .findings import Finding, Looked, copies, digests, finding
from .load_masks import SPLITS, meaning_of, readable_pairs
from .mask_code import one_channel
from .mask_files import IGNORE, RawMask, read_mask
from .mask_layouts import Fault

NOTHING = np.zeros(0, np.int64)
RARE = 0.001
"""Share of the pixels below which a class is called rare."""


@dataclass(frozen=True)
class MaskLooked:
    """What was seen of one mask.

    Attributes:
        source: Its path.
        shares: Share of the pixels by value.
        palette: Colour of each value, where the file has a palette and values, not colours, mean classes.
        classes: Pixels by class, ignored ones last; empty where some values have no class.
        problem: The error of those values.
    """

    source: str
    shares: dict[int, float]
    palette: dict[int, tuple[int, ...]]
    classes: NDArray[np.int64]
    problem: StriateError | None = None

    def histogram(self) -> str:
        """Write the file's values and their shares: "a.png: 0 (93.1 %), 12 (6.9 %)"."""
        parts = [f"{value} ({share:.1%})" for value, share in list(self.shares.items())[:8]]
        return f"{self.source}: {', '.join(parts)}{', ...' if len(self.shares) > 8 else ''}"


def examine_masks(root: Path, format: str, *, on_progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Examine all splits of pictures and masks; every file is read once and none is altered.

    Args:
        root: Folder of the dataset.
        format: "folders", "camvid" or "voc", see `load_masks`.
        on_progress: Called with (pictures read, pictures in all).
    """
    findings: list[Finding] = []
    pairs = {}
    for split in SPLITS[format](root):
        try:
            pairs[split] = readable_pairs(root, split, format)
        except StriateError as error:
            findings.append(Finding("error", "cannot be read", f"split {split!r}: {error}"))
    total, done, seen = sum(len(found.pictures) for found in pairs.values()), 0, []
    for split, found in pairs.items():
        meaning = _meaning(root, format, split, found.masks, findings)
        masks: list[MaskLooked] = []
        for picture, mask in zip(found.pictures, found.masks, strict=True):
            try:
                masks.append(_look(mask, meaning))
            except StriateError as error:
                found.faults.append(Fault("unreadable", str(mask), error))
            try:
                image = load_image(picture)
                seen.append(Looked(str(picture), split, "", image.shape[:2], False, *digests(image)))
            except StriateError as error:
                found.faults.append(Fault("unreadable", str(picture), error))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        findings += fault_findings(split, found.faults)
        findings += _values(split, masks) + _palettes(split, masks)
        if meaning is not None and meaning.remark:
            findings.append(Finding("note", "instance maps", f"{split}: {meaning.remark}"))
        if meaning is not None:
            findings += class_findings(split, masks, meaning.names)
    return findings + copies(seen)


def _meaning(root: Path, format: str, split: str, masks: list[Path], findings: list[Finding]) -> ClassList | None:
    """Find out what the values mean; where nothing says so, that is a finding."""
    try:
        return meaning_of(root, masks, format=format) if masks else None
    except StriateError as error:
        findings.append(Finding("error", "what values mean", f"{split}: {error}"))
        return None


def _look(path: Path, meaning: ClassList | None) -> MaskLooked:
    raw = read_mask(path)
    by_colour = meaning is not None and bool(meaning.code.colours)
    shares = {} if by_colour and raw.values.ndim == 3 else _shares(raw, str(path))
    table = [] if raw.palette is None or by_colour else raw.palette.tolist()
    palette = {value: tuple(table[value]) for value in shares if value < len(table)}
    if meaning is None:
        return MaskLooked(str(path), shares, palette, NOTHING)
    try:
        pixels = np.bincount(meaning.code.ids(raw, str(path)).ravel(), minlength=IGNORE + 1)
    except DataError as error:
        return MaskLooked(str(path), shares, palette, NOTHING, error)
    count = len(meaning.names)
    return MaskLooked(str(path), shares, palette, np.append(pixels[:count], pixels[IGNORE]))


def _shares(raw: RawMask, source: str) -> dict[int, float]:
    values, counts = np.unique(one_channel(raw.values, source), return_counts=True)
    return dict(zip(values.tolist(), (counts / counts.sum()).tolist(), strict=True))


def fault_findings(split: str, faults: list[Fault]) -> list[Finding]:
    """Make one finding of all faults of a kind; it says how to mend the first."""
    kinds = defaultdict(list)
    for fault in faults:
        kinds[fault.kind].append(fault)
    return [
        finding("error", kind, f"{split}: {len(some)} such; {some[0].error}", [fault.source for fault in some])
        for kind, some in kinds.items()
    ]


def _values(split: str, masks: list[MaskLooked]) -> list[Finding]:
    """Find values without a class, and masks in which 255 was meant to be an object."""
    findings = []
    wrong = [look for look in masks if look.problem is not None]
    if wrong:
        text = f"{split}: {len(wrong)} masks with values that are no class; {wrong[0].problem}"
        findings.append(finding("error", "values without a class", text, [look.histogram() for look in wrong]))
    known = [look for look in masks if len(look.classes)]
    white = [look for look in known if set(look.shares) == {0, IGNORE} and look.classes[-1]]
    if white:
        text = (
            f"{split}: {len(white)} of {len(masks)} masks hold 0 and 255 only, the latter ignored: if it is a class, "
        )
        text += (
            "write the lines '0 background' and '255 foreground' into classes.txt"
            if len(white) == len(known)
            else "write its class id into these files, as the others have it"
        )
        level = "error" if len(white) == len(known) else "note"
        findings.append(finding(level, "0 and 255 only", text, [look.histogram() for look in white]))
    empty = [look for look in known if look.classes[-1] == look.classes.sum()]
    if empty:
        text = f"{split}: {len(empty)} masks in which every pixel is ignored: take them out with their pictures"
        findings.append(finding("note", "nothing but ignored", text, [look.histogram() for look in empty]))
    return findings


def _palettes(split: str, masks: list[MaskLooked]) -> list[Finding]:
    """Find values that two files show in different colours: their palettes number the classes differently."""
    shown: dict[int, dict[tuple[int, ...], str]] = defaultdict(dict)
    for look in masks:
        for value, colour in look.palette.items():
            shown[value].setdefault(colour, look.source)
    several = {value: colours for value, colours in shown.items() if len(colours) > 1}
    if not several:
        return []
    value, colours = next(iter(several.items()))
    text = f"{split}: value {value} is {' and '.join(map(str, list(colours)[:2]))}: "
    text += "if the colours are right, write labelmap.txt with a line 'NAME:R,G,B' for each: they then count instead"
    return [finding("error", "palettes differ", text, list(colours.values()))]


def class_findings(split: str, masks: list[MaskLooked], names: tuple[str, ...]) -> list[Finding]:
    """Find classes that are absent or rare, and masks of one class."""
    rows = np.array([look.classes for look in masks if len(look.classes)]).reshape(-1, len(names) + 1)
    pixels = rows[:, :-1].sum(0)
    if not pixels.any():
        return []
    findings = []
    there = [name for name, count in zip(names, pixels, strict=True) if count]
    if len(there) == 1:
        text = f"{split}: every pixel is {there[0]!r}: nothing can be learned; look at the values, draw other classes"
        sources = [look.histogram() for look in masks]
        return [finding("error", "a single class", text, sources)]
    absent = [name for name in names if name not in there]
    if absent:
        text = f"{split}: no pixel of {', '.join(absent)}; draw them, or take their lines out of the class list"
        findings.append(Finding("note", "absent classes", text))
    single = [look.source for look in masks if len(look.classes) and (look.classes[:-1] > 0).sum() == 1]
    if single:
        text = f"{split}: {len(single)} of {len(masks)} masks have one class only: right if nothing else is to be seen"
        findings.append(finding("note", "masks of one class", text, single))
    shares = pixels / pixels.sum()
    rare = [f"{name} ({share:.2%})" for name, share in zip(names, shares, strict=True) if 0 < share < RARE]
    if rare:
        text = f"{split}: few pixels of {', '.join(rare)}; weigh the classes by median frequency"
        findings.append(Finding("note", "rare classes", text))
    return findings
