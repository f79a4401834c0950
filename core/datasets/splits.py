"""Names of splits: COCO's carry a year."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..checks import DataError

VALIDATION = "val"


def validation_split(splits: Iterable[str]) -> str | None:
    """Return the name of the split to judge a training by: "val", else the one with a year, "val2017"; None for none.

    Args:
        splits: Names of all splits of a dataset.

    Raises:
        DataError: Several years, and none without.
    """
    known = list(splits)
    if VALIDATION in known:
        return VALIDATION
    dated = sorted(name for name in known if re.fullmatch(rf"{VALIDATION}\d{{4}}", name))
    if len(dated) > 1:
        raise DataError("one validation split", ", ".join(dated), "name the one that is meant")
    return dated[0] if dated else None


def measured_split(splits: Iterable[str]) -> str:
    """Return the name of the split to measure on where none is asked for: validation, else "test", else the only one.

    Raises:
        DataError: Several validation splits, none of them plain "val".
    """
    known = list(splits)
    usual = validation_split(known) or ("test" if "test" in known else None)
    return usual or (known[0] if len(known) == 1 else VALIDATION)
