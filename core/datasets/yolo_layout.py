"""Where a YOLO dataset keeps its pictures and names: a YAML file, or folders called images and labels."""

from __future__ import annotations

from pathlib import Path

import yaml

from ..checks import DataError, closest
from ..images import SUFFIXES
from .labels import inside

MAX_YAML_BYTES = 256 * 2**10
SPLIT_KEYS = ("train", "val", "test")


def find_yaml(root: Path) -> Path | None:
    """Return the YAML file that describes boxes: `root` itself, or the one in it; None where there is none.

    Raises:
        DataError: Several of them, none of which is called data.yaml.
    """
    if root.is_file():
        return root
    found = [path for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _describes_boxes(path)]
    if len(found) > 1:
        found = [path for path in found if path.stem == "data"] or found
    if len(found) > 1:
        known = ", ".join(path.name for path in found)
        raise DataError(
            "one YAML file, or one called data.yaml", f"{known} in {root}", "pass the path of the right one"
        )
    return found[0] if found else None


def pictures_from_yaml(path: Path, split: str) -> tuple[Path, list[Path]]:
    """Return the dataset's root (the key `path`, relative to the file) and the pictures of a split.

    An entry is a folder, a text file with one picture a line, or a list of such, all inside the root.
    """
    settings = load_yaml(path)
    base = settings.get("path") or "."
    root = path.parent / str(base)
    known = _splits_of(settings)
    if split not in known:
        near = closest(split, known)
        fix = f"did you mean {near!r}?" if near else f"add the key {split} to {path.name}"
        raise DataError(f"a split out of {', '.join(known) or '(none)'}", repr(split), fix)
    entries = settings[split] if isinstance(settings[split], list) else [settings[split]]
    pictures: list[Path] = []
    for entry in entries:
        pictures += _pictures_of(root, inside(root, entry))
    return root, pictures


def splits(root: Path) -> list[str]:
    """Names of the splits that a folder or a YAML file has."""
    settings = find_yaml(root)
    return sorted(split_folders(root)) if settings is None else sorted(_splits_of(load_yaml(settings)))


def names_from_yaml(path: Path) -> list[str]:
    """Return the class names: a list, or numbers from 0 with their names."""
    names = load_yaml(path).get("names")
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            got = ", ".join(str(key)[:20] for key in list(names)[:8])
            raise DataError(f"names numbered from 0 to {len(names) - 1}", got, f"correct names in {path.name}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list):
        raise DataError(f"names in {path.name}", type(names).__name__, "write names: [first, second]")
    return [name if isinstance(name, str) else str(name) for name in names if not isinstance(name, dict | list)]


def pictures_from_folders(root: Path, split: str) -> list[Path]:
    """Return the pictures of images/<split> or <split>/images, or of a flat images/, which is split "train" as a whole.

    A year behind the split's name ("train2017") is left out where only one folder fits.
    """
    known = split_folders(root)
    dated = [name for name in known if name[:-4] == split and name[-4:].isdigit()]
    name = split if split in known else dated[0] if len(dated) == 1 else None
    if name is None:
        near = closest(split, known)
        fix = f"did you mean {near!r}?" if near else f"put its pictures into {root / 'images' / split}"
        raise DataError(f"a split out of {', '.join(known) or '(none)'}", repr(split), fix)
    return _pictures_of(root, known[name])


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folders of pictures by split; a folder counts only where it has labels beside it."""
    images, labels = root / "images", root / "labels"
    found = {}
    if images.is_dir() and labels.is_dir():
        found = {
            path.name: path for path in sorted(images.iterdir()) if path.is_dir() and (labels / path.name).is_dir()
        }
        if not found:
            found = {"train": images}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if (path / "images").is_dir() and (path / "labels").is_dir():
            found[path.name] = path / "images"
    return found


def names_beside(root: Path) -> list[str] | None:
    """Return the lines of the one *.names file or of classes.txt, None where there is neither."""
    found = sorted(root.glob("*.names")) or [path for path in (root / "classes.txt",) if path.is_file()]
    if not found:
        return None
    if len(found) > 1:
        known = ", ".join(path.name for path in found)
        raise DataError("one file of class names", f"{known} in {root}", "keep the right one, or pass names")
    return [line.strip() for line in _text(found[0]).splitlines() if line.strip()]


def load_yaml(path: Path) -> dict:
    """Read a YAML file with safe_load; anchors are refused, because a few of them can stand for billions of items."""
    text = _text(path)
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise DataError("YAML without aliases", f"an alias in {path.name}", "write the values out")
        settings = yaml.safe_load(text)
    except DataError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError("a YAML file", f"{reason}: {path}", "correct the file") from error
    if not isinstance(settings, dict):
        raise DataError("a YAML file with train, val and names", f"{type(settings).__name__} in {path}", "correct it")
    return settings


def _splits_of(settings: dict) -> list[str]:
    return [key for key, value in settings.items() if _is_entry(value) and key not in ("path", "names", "download")]


def _is_entry(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
    )


def _describes_boxes(path: Path) -> bool:
    settings = load_yaml(path)
    return "names" in settings and any(_is_entry(settings.get(key)) for key in SPLIT_KEYS)


def _pictures_of(root: Path, path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in SUFFIXES)
    if path.is_file() and path.suffix == ".txt":
        return [inside(root, line.strip()) for line in _text(path).splitlines() if line.strip()]
    raise DataError("a folder of pictures or a text file that lists them", f"{path}", "correct the entry")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(64 * MAX_YAML_BYTES + 1)
        limit = MAX_YAML_BYTES if path.suffix in (".yaml", ".yml") else 64 * MAX_YAML_BYTES
        if len(data) > limit:
            raise DataError(f"a file of at most {limit:,} bytes", f"more: {path}", "check the file")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a text file", f"{error}: {path}", "check the file") from error
