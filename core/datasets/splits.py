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
