"""Choosing a picture on a page: samples first, then an upload. The choice is kept from page to page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ..core.images import encode_image, load_image, resize
from .samples import SAMPLES, Sample, sample
from .server import MAX_UPLOAD_MB

TILE = 106  # width in pixels; eight fit beside the sidebar of a window of 1400, three side by side on a telephone
THUMBNAIL = (160, 212)  # height, width: twice a tile, for screens of high density
FORMATS = ("png", "jpg", "jpeg", "webp")


@dataclass(frozen=True)
class Picture:
    """The picture that a page works on.

    Attributes:
        key: Name of the sample, or digest of the uploaded bytes: equal keys are equal pictures.
        name: File name to show and to put into code; never used as a path.
        image: uint8 (H, W, 3) RGB, read-only.
        sample: The sample's key when it is one.
    """

    key: str
    name: str
    image: NDArray[np.uint8]
    sample: str | None = None


def gallery(samples: Sequence[Sample] = SAMPLES) -> None:
    """Show the samples as a row of thumbnails; a click on a name chooses that picture and lets go of an upload."""
    with st.container(horizontal=True, gap="small"):
        for entry in samples:
            with st.container(width=TILE, gap="xsmall"):
                _tile(entry, _chosen(samples))


def uploader() -> None:
    """Show the upload field. The picture stays in memory while it is in use and is not kept."""
    st.file_uploader(
        "Your own picture",
        type=list(FORMATS),
        key=_upload_key(),
        max_upload_size=MAX_UPLOAD_MB,
        help="The picture stays in the memory of the machine that serves this page and is not kept.",
    )


def picture(samples: Sequence[Sample] = SAMPLES) -> Picture:
    """Return the uploaded picture, or else the chosen one of `samples`, to begin with the first.

    Raises:
        ImageError: the uploaded bytes are no picture within the loader's limits.
    """
    upload = st.session_state.get(_upload_key())
    if upload is None:
        entry = sample(_chosen(samples))
        return Picture(entry.key, entry.file_name, entry.image(), entry.key)
    data = upload.getvalue()
    key = hashlib.sha256(data).hexdigest()
    kept: Picture | None = st.session_state.get("upload-decoded")
    if kept is None or kept.key != key:  # decoded once, not at every movement of a slider
        st.session_state.pop("upload-decoded", None)
        image = load_image(data)
        image.setflags(write=False)
        kept = Picture(key, upload.name, image)
        st.session_state["upload-decoded"] = kept
    return kept


def _tile(entry: Sample, key: str) -> None:
    st.image(thumbnail(entry.key), alt=entry.alt, width="stretch")
    chosen = entry.key == key and not _has_upload()
    st.button(
        entry.title,
        key=f"sample-{entry.key}",
        type="primary" if chosen else "secondary",
        width="stretch",
        help=f"{entry.alt}: {entry.source}.",
        on_click=_choose,
        args=(entry.key,),
    )


def _chosen(samples: Sequence[Sample]) -> str:
    known = {entry.key for entry in samples}
    wanted = st.session_state.get("sample") or st.query_params.get("sample")
    return wanted if wanted in known else samples[0].key


def _choose(key: str) -> None:
    st.session_state["sample"] = key
    st.query_params["sample"] = key
    # A new key is a new, empty upload field: the only way to take a file out of one from the program.
    st.session_state["upload-number"] = st.session_state.get("upload-number", 0) + 1
    st.session_state.pop("upload-decoded", None)


def _upload_key() -> str:
    return f"upload-{st.session_state.get('upload-number', 0)}"


def _has_upload() -> bool:
    return st.session_state.get(_upload_key()) is not None


@cache
def thumbnail(key: str) -> bytes:
    """Return a sample cut to the gallery's shape, as PNG."""
    image = sample(key).image()
    height, width = image.shape[:2]
    wanted = THUMBNAIL[0] / THUMBNAIL[1]
    if height > width * wanted:  # cut the longer side evenly, so that all thumbnails have one shape
        top = int(height - width * wanted) // 2
        image = image[top : top + int(width * wanted)]
    else:
        left = int(width - height / wanted) // 2
        image = image[:, left : left + int(height / wanted)]
    return encode_image(resize(np.ascontiguousarray(image), THUMBNAIL), "png")
