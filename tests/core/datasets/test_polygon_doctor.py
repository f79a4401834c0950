"""The doctor's findings on COCO's polygons and run lengths."""

from collections.abc import Callable
from pathlib import Path

from striate.core.datasets.doctor import examine
from striate.core.datasets.findings import Finding

SQUARE = [10, 20, 30, 20, 30, 60, 10, 60]
Coco = Callable[..., Path]


def entry(segmentation: object, **changes: object) -> dict:
    box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 20, 40]}
    return box | ({} if segmentation is None else {"segmentation": segmentation}) | changes


def found(root: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in examine(root)}


def test_healthy_polygons_and_annotations_of_boxes_only(coco: Coco) -> None:
    other = entry([[50, 10, 80, 10, 80, 15]], id=2, category_id=90)
    seen: list[tuple[int, int]] = []
    assert examine(coco(annotations=[entry([SQUARE]), other]), on_progress=lambda *s: seen.append(s)) == []
    assert seen == [(1, 1), (1, 1)]  # masks, then boxes
    for nothing in (None, []):
        seen.clear()
        assert examine(coco(annotations=[entry(nothing)]), on_progress=lambda *s: seen.append(s)) == []
        assert seen == [(1, 1)]


def test_an_annotation_without_a_segmentation_among_others(coco: Coco) -> None:
    finding = found(coco(annotations=[entry([SQUARE]), entry(None, id=2, category_id=90)]))["no segmentation"]
    assert finding.level == "error"
    assert finding.sources == ("annotation 2 in instances_train.json",)
    assert "or take this one out" in finding.text


def test_segmentations_that_cannot_be_drawn(coco: Coco) -> None:
    broken = found(coco(annotations=[entry([[1, 2, 3]])]))["annotation"]
    assert "polygons or run lengths as segmentation; got neither in annotation 1" in broken.text
    root = coco(annotations=[entry({"size": [80, 100], "counts": [5, 6]})])
    runs = found(root)["annotation"]
    assert runs.sources == (str(root / "images" / "train" / "a.png"),)
    assert f"got 2 counts for size [80, 100]: mask of {runs.sources[0]}" in runs.text
    size = found(coco(annotations=[entry({"size": [8, 10], "counts": [80]})]))["size mismatch"]
    assert "got 10x8 for a picture of 100x80" in size.text


def test_objects_that_cover_no_pixel_and_classes_that_are_absent(coco: Coco) -> None:
    outside = entry([[200, 200, 210, 200, 210, 210]], id=2, category_id=90)
    findings = found(coco(annotations=[entry([SQUARE]), outside]))
    assert findings["objects without pixels"].sources[0].endswith("a.png: 1 of 2")
    assert "no pixel of dot" in findings["absent classes"].text
    whole = entry([[0, 0, 100, 0, 100, 80, 0, 80]])
    assert "every pixel is 'cell'" in found(coco(annotations=[whole]))["a single class"].text


def test_classes_that_masks_cannot_have(coco: Coco) -> None:
    categories = [{"id": i, "name": f"c{i}"} for i in range(300)]
    finding = found(coco(annotations=[entry([SQUARE])], categories=categories))["no masks"]
    assert finding.level == "note"
    assert "at most 254 classes; got 301" in finding.text
