"""Videos are read picture by picture and written whole; what is no video is refused before FFmpeg sees it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from striate.core.checks import ImageError, SaveError, UsageError
from striate.core.video import frame_rate, is_video, read_frames, write_video

LEVELS = (20, 90, 160, 230)


def write(path: Path, size: tuple[int, int] = (48, 64), rate: float = 10.0) -> Path:
    """Four pictures, each of one colour: red grows, green is 100, blue 30."""
    with write_video(path, rate) as append:
        for level in LEVELS:
            append(np.full((*size, 3), (level, 100, 30), np.uint8))
    return path


def test_pictures_come_back_in_order_as_rgb(tmp_path: Path) -> None:
    path = write(tmp_path / "four.mp4")
    frames = list(read_frames(path))
    assert [(f.number, f.seconds) for f in frames] == [(i, pytest.approx(i / 10)) for i in range(4)]
    assert frame_rate(path) == 10
    for frame, level in zip(frames, LEVELS, strict=True):
        assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
        # The codec is lossy; the worst seen is 3.
        assert np.abs(frame.image.astype(int) - (level, 100, 30)).max() <= 8
    assert [f.number for f in read_frames(path, every=3)] == [0, 3]


def test_odd_sides_lose_nothing(tmp_path: Path) -> None:
    (frame, *_) = read_frames(write(tmp_path / "odd.mp4", (45, 63)))
    assert frame.image.shape == (46, 64, 3)
    assert np.abs(frame.image[-1].astype(int) - frame.image[-2]).max() <= 8


@pytest.mark.parametrize(
    "rate",
    [1000 / 7, 1000 / 3, 30000 / 1001, 24000 / 1001, 120000 / 1001, 65.5354, 655.3501, 987.654321, 1000, 1 / 60, 0.002],
)
def test_rates_that_are_no_short_fraction(tmp_path: Path, rate: float) -> None:
    """MPEG-4's fractions have terms up to 65535: OpenCV alone refuses 1000 / 7, as 142857 / 1000."""
    path = write(tmp_path / "four.mp4", rate=rate)
    assert len(list(read_frames(path))) == 4
    assert frame_rate(path) == pytest.approx(rate, rel=2e-4, abs=6e-4)


def test_avi_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "theirs.AVI"
    writer = cv2.VideoWriter(str(tmp_path / "theirs.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    writer.write(np.full((48, 64, 3), (200, 50, 10), np.uint8))  # BGR
    writer.release()
    (tmp_path / "theirs.avi").rename(path)
    (frame,) = read_frames(path)
    assert np.abs(frame.image[0, 0].astype(int) - (10, 50, 200)).max() <= 8
    assert is_video(path)
    assert not is_video("picture.png")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "content of another kind", id="empty"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n", "content of another kind", id="play list"),
        pytest.param(b"ffconcat version 1.0\nfile /etc/hostname\n", "content of another kind", id="list of files"),
        pytest.param(b"\x00\x00\x00\x18ftypmp42" + bytes(50), "cannot be decoded", id="no pictures"),
    ],
)
def test_what_is_no_video(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"a readable video .*{words}.*bad\.mp4.*convert it"):
        list(read_frames(path))


def test_a_container_without_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "none.avi"
    cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48)).release()
    with pytest.raises(ImageError, match="no picture in it that can be decoded"):
        list(read_frames(path))


def test_other_faults(tmp_path: Path) -> None:
    path = write(tmp_path / "four.mp4")
    with pytest.raises(ImageError, match="No such file or directory"):
        list(read_frames(tmp_path / "none.mp4"))
    with pytest.raises(ImageError, match=r"at most 1,000 pixels a picture; got 64x48"):
        list(read_frames(path, max_pixels=1000))
    with pytest.raises(UsageError, match="every as 1 or more"):
        list(read_frames(path, every=0))
    for name, rate in (("out.gif", 10.0), ("out.mp4", 0.0), ("out.mp4", 0.001), ("out.mp4", float("nan"))):
        with pytest.raises(UsageError, match=r"a file called \.mp4"), write_video(tmp_path / name, rate):
            pass


def append_all(path: Path, *images: np.ndarray) -> None:
    with write_video(path, 5) as append:
        for image in images:
            append(image)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path, image = tmp_path / "out.mp4", np.zeros((48, 64, 3), np.uint8)
    path.write_bytes(b"before")
    with pytest.raises(UsageError, match="pictures of one size; got 64x40 after 64x48"):
        append_all(path, image, image[:40])
    with pytest.raises(SaveError, match="no picture was appended"):
        append_all(path)
    with pytest.raises(ImageError, match="a uint8 RGB image"):
        append_all(path, image[:, :, 0])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(SaveError, match="to write"):
        append_all(tmp_path / "no" / "out.mp4", image)
