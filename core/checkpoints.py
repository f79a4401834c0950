"""Checkpoints: tensors and what is needed to build their network again, in one file that is never executed.

A checkpoint is a safetensors file whose header holds one entry, `striate`: a JSON object that begins with the SHA-256
of the whole file (computed with the 64 digits set to 0), then `schema_version`, `kind` (the class that wrote it) and
whatever that class needs: `config` (constructor keywords), `names`, ... One altered or missing byte anywhere is found.
Nothing is ever unpickled. Contract: after any crash one valid checkpoint exists that is at most one save old.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from .atomic import atomic_write, previous_path
from .checks import CheckpointError, UsageError

__all__ = [
    "SCHEMA_VERSION", "atomic_write", "load_checkpoint", "load_state", "previous_path", "save_checkpoint", "save_state",
]  # fmt: skip

SCHEMA_VERSION = 1
STATE_KIND = "TrainingState"
# 4,000 tensors and 100,000 epochs of history stay below 16 MiB; safetensors itself would accept 100 MB of header.
MAX_HEADER_BYTES = 16 * 1024 * 1024

_START = b'{"__metadata__":{"striate":"{\\"sha256\\":\\"'
_DIGEST_AT = 8 + len(_START)
_DIGEST = slice(_DIGEST_AT, _DIGEST_AT + 64)
_NO_DIGEST = "0" * 64
_OWN_KEYS = ("sha256", "schema_version")
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, as torch.save writes (a pickle)",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
}


class _Damaged(CheckpointError):
    """A file whose bytes are not what was written; for training state the previous file may still be good."""


def save_checkpoint(path: str | Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> Path:
    """Save tensors with their description; the file that was there is kept as `<stem>.prev.safetensors`.

    Args:
        path: Ends in `.safetensors`; its folder must exist.
        tensors: Name -> dense tensor of any shape and device, finite. Views and shared tensors are stored in full.
        meta: JSON data with text keys; needs `kind`, the name of the class that can load it. `schema_version` and
            `sha256` are added here.

    Returns:
        The path written.

    Raises:
        CheckpointError: A tensor holds NaN or infinity.
        UsageError: Wrong suffix, no `kind`, or something that is neither a tensor nor JSON.
        SaveError: Disk full, folder missing or read-only; what was there before is unchanged.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UsageError("a file name that ends in .safetensors", repr(path.name), "change the suffix")
    raw = _encode(tensors, meta)
    return atomic_write(path, lambda file: file.write(raw), keep_previous=True)


def load_checkpoint(path: str | Path, *, kind: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load what `save_checkpoint` wrote, after checking every byte of it.

    Args:
        path: The file.
        kind: The class that is going to use it; a checkpoint of another kind is refused.

    Returns:
        The tensors (on the CPU) and the description, `schema_version` and `sha256` included.

    Raises:
        CheckpointError: Missing, damaged, foreign, of another kind or of a newer version. No code is ever executed.
    """
    path = Path(path)
    raw = _read(path)
    header_end = _check_start(path, raw)
    if _digest(raw) != raw[_DIGEST].decode("ascii", "replace"):
        raise _damaged(path, "a file whose content does not match its SHA-256")
    try:
        header = json.loads(raw[8:header_end])
        meta = json.loads(header["__metadata__"]["striate"])
        version = meta["schema_version"]
        if version != SCHEMA_VERSION:
            raise CheckpointError(
                f"a checkpoint of schema version {SCHEMA_VERSION}", f"version {version!r} in {path}", "update Striate"
            )
        tensors = safetensors.torch.load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, AssertionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(path, f"an inconsistent header ({type(error).__name__})") from error
    found = meta.get("kind")
    if kind is not None and found != kind:
        fix = "pass it as the state to resume from" if found == STATE_KIND else f"load it with {found}.load"
        raise CheckpointError(f"a {kind} checkpoint", f"one of kind {found!r} in {path}", fix)
    _check_finite(tensors, f"in {path}")
    return tensors, meta


def save_state(path: str | Path, state: Mapping[str, Any]) -> Path:
    """Save the state of a training: nested dicts, lists and tuples of tensors, numbers, text, True/False and None.

    Dicts may have whole numbers as keys, as optimizers' have. Types come back as they were: a tuple as a tuple, an
    infinite number as itself. The file that was there is kept as the previous one.

    Raises:
        CheckpointError: A tensor holds NaN or infinity.
        UsageError: Something of another type; its place is named.
        SaveError: As `save_checkpoint`.
    """
    tensors: dict[str, torch.Tensor] = {}
    return save_checkpoint(path, tensors, {"kind": STATE_KIND, "state": _pack(dict(state), tensors, "state")})


def load_state(path: str | Path) -> tuple[dict[str, Any], str]:
    """Load what `save_state` wrote; when it is damaged or missing, the previous one.

    Returns:
        The state (tensors on the CPU), and a notice for the user: empty when all is well, else one sentence that says
        which file was damaged and which was loaded instead. Show it.

    Raises:
        CheckpointError: Neither file can be used, or the newest one belongs to another class or a newer version.
    """
    path = Path(path)
    try:
        tensors, meta = load_checkpoint(path, kind=STATE_KIND)
        notice = ""
    except _Damaged as error:
        previous = previous_path(path)
        if not previous.exists():
            raise
        tensors, meta = load_checkpoint(previous, kind=STATE_KIND)
        notice = f"{path} could not be used (got {error.got}); going on from the save before it, {previous}"
    return _unpack(meta["state"], tensors), notice


def _encode(tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> bytearray:
    own = [key for key in _OWN_KEYS if key in meta]
    if own or not isinstance(meta.get("kind"), str):
        raise UsageError("meta with a `kind`, and without sha256 and schema_version", f"{sorted(meta)}", "fix the keys")
    _check_json(meta, "meta")
    text = json.dumps(
        {"sha256": _NO_DIGEST, "schema_version": SCHEMA_VERSION, **meta}, separators=(",", ":"), allow_nan=False
    )
    raw = bytearray(safetensors.torch.save(_plain(tensors), metadata={"striate": text}))
    (header_bytes,) = struct.unpack("<Q", raw[:8])
    if header_bytes > MAX_HEADER_BYTES:
        raise UsageError(f"at most {MAX_HEADER_BYTES} bytes of description", f"{header_bytes}", "store less in meta")
    if raw[8:_DIGEST_AT] != _START:  # the digest's place rests on the order in which safetensors writes its header
        raise RuntimeError(f"safetensors wrote its header in another order: {bytes(raw[8:80])!r}")
    raw[_DIGEST] = _digest(raw).encode()
    return raw


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy to contiguous CPU tensors that share nothing: safetensors refuses views of one storage."""
    for name, tensor in tensors.items():
        good = isinstance(name, str) and name != "__metadata__" and isinstance(tensor, torch.Tensor)
        if not good or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise UsageError("named dense tensors", f"{type(tensor).__name__} under {name!r}", "leave it out")
    _check_finite(tensors, "to be saved")
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _check_finite(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    def finite(tensor: torch.Tensor) -> bool:
        if not (tensor.is_floating_point() or tensor.is_complex()):
            return True
        # 8-bit floats have no isfinite of their own.
        return bool(torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all())

    bad = [name for name, tensor in tensors.items() if not finite(tensor)]
    if bad:
        raise CheckpointError(
            "finite tensors only",
            f"NaN or infinity {where}: {', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}",
            "go back to an earlier checkpoint and train with a lower learning rate",
        )


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UsageError(f"text keys in {where}", f"the key {key!r}", "turn it into text or use a list")
            _check_json(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_json(item, f"{where}[{index}]")
    elif type(value) not in (str, int, float, bool, type(None)) or (type(value) is float and not math.isfinite(value)):
        got = repr(value) if type(value) is float else type(value).__name__
        raise UsageError(f"JSON data at {where}", got, "use text, finite numbers, lists and dicts")


def _digest(raw: bytes | bytearray) -> str:
    view = memoryview(raw)
    digest = hashlib.sha256(view[:_DIGEST_AT])
    digest.update(_NO_DIGEST.encode())
    digest.update(view[_DIGEST.stop :])
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        got = f"{path}: {error.strerror or error}"
        raise _Damaged("a checkpoint that can be read", got, "check the path and its permissions") from error


def _check_start(path: Path, raw: bytes) -> int:
    """Return where the header ends, or say what this file is instead of a checkpoint."""
    if len(raw) == 0:
        raise _damaged(path, "an empty file")
    if raw[8:_DIGEST_AT] != _START[: max(0, len(raw) - 8)]:
        raise _foreign(path, raw)
    if len(raw) < _DIGEST.stop:
        raise _damaged(path, f"a file cut off after {len(raw)} bytes")
    (header_bytes,) = struct.unpack("<Q", raw[:8])
    if header_bytes > MAX_HEADER_BYTES or 8 + header_bytes > len(raw):
        raise _damaged(path, f"{len(raw)} bytes, with a header of {header_bytes}")
    return 8 + header_bytes


def _foreign(path: Path, raw: bytes) -> CheckpointError:
    what = next((what for magic, what in _FOREIGN.items() if raw.startswith(magic)), None)
    if what is None:
        what = "a safetensors file of another program" if raw[8:9] == b"{" else "a file of another format, or damaged"
    return _Damaged(
        "a checkpoint that Striate wrote (.safetensors)", f"{what}: {path}", "save it again with Striate's own save"
    )


def _damaged(path: Path, what: str) -> CheckpointError:
    fix = f"use another copy, or the save before it ({previous_path(path).name}) if it is there"
    return _Damaged("an undamaged checkpoint", f"{what}: {path}", fix)


def _pack(value: Any, tensors: dict[str, torch.Tensor], where: str) -> Any:
    """Turn a nested state into JSON; what JSON lacks becomes a one-entry dict with a `$` key."""
    if isinstance(value, torch.Tensor):
        name = f"{len(tensors)}:{where}"  # numbered: {0: ...} and {"0": ...} have one place in text
        tensors[name] = value
        return {"$tensor": name}
    if isinstance(value, Mapping):
        if any(type(key) not in (str, int) for key in value):
            raise UsageError(f"keys of text or whole numbers in {where}", f"{list(value)[:5]}", "change the keys")
        items = [(key, _pack(item, tensors, f"{where}.{key}")) for key, item in value.items()]
        plain = all(type(key) is str and not key.startswith("$") for key in value)
        return dict(items) if plain else {"$dict": [list(item) for item in items]}
    if isinstance(value, (list, tuple)):
        packed = [_pack(item, tensors, f"{where}.{index}") for index, item in enumerate(value)]
        return packed if isinstance(value, list) else {"$tuple": packed}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(float(value))}
    if value is None or isinstance(value, (str, bool, int, float)):
        return float(value) if isinstance(value, float) else value
    raise UsageError(f"tensors, numbers, text, lists and dicts in {where}", type(value).__name__, "convert or omit it")


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["$tuple"])
    if "$float" in value:
        return float(value["$float"])
    if "$dict" in value:
        return {key: _unpack(item, tensors) for key, item in value["$dict"]}
    return {key: _unpack(item, tensors) for key, item in value.items()}
