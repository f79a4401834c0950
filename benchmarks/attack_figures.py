"""What attacks find, beside their times: how many pictures, how near, with how many questions.

A mean distance over the pictures that a candidate fooled flatters the one that fools only the easy ones. So each
candidate stands beside striate a second time, over the pictures that both have fooled. Rows are appended to
results/figures/attacks.jsonl and never edited; report.py renders the newest of each case.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from striate.benchmarks.harness import FOLDER, Differs, commit, device_name, versions

Ids = Callable[[Tensor], Tensor]
FIGURES = FOLDER / "results" / "figures" / "attacks.jsonl"
OURS = "striate"
NORMS = {"l2": 2.0, "linf": float("inf")}
SLACK = 1e-5
"""Beyond a budget: float32 adds and takes away pictures' values of up to 1, and sums up to 3072 squares."""
PEERS = ("foolbox", "torch", "torchattacks")
ABOUT = """### What attacks find

Shares of the pictures that fool the network as floats, and the model itself in 8 bits; mean distances, over a
candidate's own successes and over the `both` that it and striate fooled; forward passes for each picture.
Carlini and Wagner's searches end where they stand still: ours for a picture, foolbox's for the batch, or never ("all
steps")."""
HEAD = """| case | candidate | fooled | 8 bits | distance | both | distance, both | striate's | queries |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


class Tried(NamedTuple):
    """What a candidate gave: pictures (N, 3, H, W), forward passes for each, and whether it aims at PNGs."""

    pictures: Tensor
    queries: float
    saved: bool = False


class Found(NamedTuple):
    """What one candidate found in one case; distances are means, None over no pictures.

    Attributes:
        case: Its name.
        candidate: Its name.
        distance: The norm that the attack works in.
        success: Share of the pictures with which the network is fooled, as floats; as PNGs where it aims at those.
        success_8_bits: Share with which the model itself is, after rounding to 8 bits.
        both: Pictures that striate fooled as well.
        own: Norm -> distance over what the candidate fooled.
        common: Norm -> the same over those that both fooled.
        ours: Norm -> striate's over those.
        queries: Forward passes for each picture.
    """

    case: str
    candidate: str
    distance: str
    success: float
    success_8_bits: float
    both: int
    own: dict[str, float | None]
    common: dict[str, float | None]
    ours: dict[str, float | None]
    queries: float


def check_inside(candidate: str, pictures: Tensor, originals: Tensor, norm: str, epsilon: float | None) -> None:
    """Refuse pictures outside the budget or the box.

    Raises:
        Differs: One is: its success would count for nothing.
    """
    worst = float(_lengths(pictures, originals, norm).max())
    if epsilon is not None and worst > epsilon + SLACK:
        raise Differs(f"{candidate}: a change of {worst:.4f} instead of {epsilon:.4f}: nothing was kept")
    if pictures.min() < -SLACK or pictures.max() > 1 + SLACK:
        raise Differs(f"{candidate}: values outside [0, 1]: nothing was kept")


@torch.no_grad()
def judged(
    network: Ids, read: Ids, originals: Tensor, labels: Tensor, tried: Mapping[str, Tried], *,
    case: str, distance: str, epsilon: float | None,
) -> list[Found]:  # fmt: skip
    """Say what each candidate found.

    Args:
        network: Pictures (N, 3, H, W) in [0, 1] -> class ids int64 (N,), by the network as the peers attack it.
        read: The same by the model itself from pictures of 8 bits: it rounds colours to grey levels, say.
        originals: Which it names right, (N, 3, H, W).
        labels: int64 (N,).
        tried: Candidate -> what it gave; striate among them.
        case: Its name.
        distance: A key of `NORMS`.
        epsilon: The budget; None for none.

    Raises:
        Differs: A candidate left the budget or [0, 1].
    """
    for candidate, one in tried.items():
        check_inside(candidate, one.pictures, originals, distance, epsilon)
    kept = {name: read((one.pictures * 255).round() / 255) != labels for name, one in tried.items()}
    fooled = {name: kept[name] if one.saved else network(one.pictures) != labels for name, one in tried.items()}
    lengths = {name: {norm: _lengths(one.pictures, originals, norm) for norm in NORMS} for name, one in tried.items()}
    found = []
    for name, one in tried.items():
        both = fooled[name] & fooled[OURS]
        found.append(
            Found(
                case, name, distance, _share(fooled[name]), _share(kept[name]), int(both.sum()),
                _means(lengths[name], fooled[name]), _means(lengths[name], both), _means(lengths[OURS], both),
                round(one.queries, 2),
            )
        )  # fmt: skip
    return found


def keep_figures(found: list[Found], run: str, file: Path = FIGURES) -> None:
    """Append figures with the machine, the commit and the versions that they come from."""
    peers = {name: version(name) for name in PEERS}
    about = {
        "run": run, "commit": commit(), "device": device_name(), "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2), "versions": {**versions(), **peers},
    }  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        for one in found:
            told = one._asdict()
            row = {name: told.pop(name) for name in ("case", "candidate", "distance")}
            lines.write(json.dumps({**row, "figures": told, **about}, sort_keys=True) + "\n")


def figures_table(file: Path = FIGURES) -> str:
    """Render the newest run of each case as Markdown; nothing where none was kept."""
    if not file.is_file():
        return ""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    last: dict[tuple[str, str], str] = {}
    for row in rows:
        key = (row["device"], row["case"])
        last[key] = max(last.get(key, ""), row["run"])
    rows = [row for row in rows if row["run"] == last[row["device"], row["case"]]]
    parts = [ABOUT]
    for device in sorted({row["device"] for row in rows}):
        some = [row for row in rows if row["device"] == device]
        peers = sorted({f"{name} {found}" for row in some for name, found in row["versions"].items() if name in PEERS})
        commits = sorted({row["commit"] for row in some})
        parts.append("; ".join([device, ", ".join(peers), f"commit {', '.join(commits)}"]))
        some.sort(key=lambda row: [*row["case"].split(", ")[-2:], row["case"]])  # those of a network together
        parts.append(HEAD + "".join(_line(row) for row in some))
    return "\n\n".join(parts) + "\n"


def _line(row: dict[str, Any]) -> str:
    """Render one row; distances in the norm that the attack works in."""
    figures, norm = row["figures"], row["distance"]
    own, common, ours = (
        "-" if figures[name][norm] is None else f"{figures[name][norm]:.4f}" for name in ("own", "common", "ours")
    )
    shares = f"{figures['success']:.3f}", f"{figures['success_8_bits']:.3f}"
    cells = (row["case"], row["candidate"], *shares, own, figures["both"], common, ours, f"{figures['queries']:.0f}")
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _lengths(pictures: Tensor, originals: Tensor, norm: str) -> Tensor:
    return torch.linalg.vector_norm((pictures - originals).flatten(1).double(), NORMS[norm], dim=1)


def _means(lengths: Mapping[str, Tensor], chosen: Tensor) -> dict[str, float | None]:
    return {norm: round(float(one[chosen].mean()), 5) if chosen.any() else None for norm, one in lengths.items()}


def _share(flags: Tensor) -> float:
    return round(float(flags.double().mean()), 5)
