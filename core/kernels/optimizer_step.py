"""One optimization step of all parameters in one launch: SGD with momentum, and Adam.

    g = gradient (negated to maximize) + weight_decay * p       (decoupled: p *= 1 - rate * weight_decay instead)
    SGD:  b = momentum * b + (1 - dampening) * g                (in the first step b = g)
          p -= rate * b                                         (Nesterov: p -= rate * (g + momentum * b))
    Adam: m += (1 - beta1) * (g - m),  v = beta2 * v + (1 - beta2) * g^2,  with amsgrad u = max(u, v)
          p -= rate / (1 - beta1^step) * m / (sqrt(v or u) / sqrt(1 - beta2^step) + eps)

in float32, with float32 state whatever the dtype of the parameters. Tensors of any number and size, dense, a parameter
and what belongs to it in the same order in memory. Two tables on the device tell a program its share:

    table   (rows, T) int64: addresses of the T parameters, gradients and states, last their numbers of elements
    chunks  (programs, 2) int32: which parameter, and which of its blocks of B elements

Both depend on nothing but the numbers in them, so they are kept by these numbers and cannot be out of date: the chunks
while the sizes stay, the table while all addresses stay. New gradients mostly come at other addresses; that costs one
copy of T numbers a row to the device, from pinned memory, without waiting for it. Each element is read and written by
one thread, so a step is deterministic. No limit on sizes: offsets inside a parameter are int64.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl

from ..checks import UsageError
from . import launch, tiles


@triton.jit
def _address(table, row, count, which, start, like, ALIGNED: tl.constexpr):
    at = tl.load(table + row * count + which).to(like)
    if ALIGNED:
        at = tl.multiple_of(at, 16)
    return at + start


@triton.jit
def _load(at, left, B: tl.constexpr, FULL: tl.constexpr):
    i = tl.arange(0, B)
    return (tl.load(at + i) if FULL else tl.load(at + i, mask=i < left, other=0.0)).to(tl.float32)


@triton.jit
def _store(at, value, left, B: tl.constexpr, FULL: tl.constexpr):
    i = tl.arange(0, B)
    if FULL:
        tl.store(at + i, value.to(at.dtype.element_ty))
    else:
        tl.store(at + i, value.to(at.dtype.element_ty), mask=i < left)


@triton.jit
def _direction(g, p, weight_decay, DECAY: tl.constexpr, MAXIMIZE: tl.constexpr):
    if MAXIMIZE:
        g = -g
    if DECAY == "coupled":
        g += weight_decay * p
    return g


@triton.jit
def _sgd(
    p_at, g_at, b_at, left, rate, momentum, keep, weight_decay,
    MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr, FIRST: tl.constexpr, DECAY: tl.constexpr, MAXIMIZE: tl.constexpr,
    B: tl.constexpr, FULL: tl.constexpr,
):  # fmt: skip
    p = _load(p_at, left, B, FULL)
    g = _direction(_load(g_at, left, B, FULL), p, weight_decay, DECAY, MAXIMIZE)
    if MOMENTUM:
        b = g if FIRST else momentum * _load(b_at, left, B, FULL) + keep * g
        _store(b_at, b, left, B, FULL)
        g = g + momentum * b if NESTEROV else b
    _store(p_at, p - rate * g, left, B, FULL)


@triton.jit
def sgd_update(
    like,  # any one of the parameters: their dtype
    table,  # (4, T) int64: parameters, gradients, buffers, sizes
    chunks,  # (programs, 2) int32
    count, rate, momentum, keep, weight_decay,  # count: T; keep: 1 - dampening
    MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr, FIRST: tl.constexpr, DECAY: tl.constexpr, MAXIMIZE: tl.constexpr,
    ALIGNED: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    which = tl.load(chunks + 2 * tl.program_id(0))
    start = tl.load(chunks + 2 * tl.program_id(0) + 1).to(tl.int64) * B
    state: tl.constexpr = tl.pointer_type(tl.float32)
    p = _address(table, 0, count, which, start, like.dtype, ALIGNED)
    g = _address(table, 1, count, which, start, like.dtype, ALIGNED)
    b = _address(table, 2, count, which, start, state, ALIGNED)
    left = tl.load(table + 3 * count + which) - start
    if left >= B:  # without a mask, loads and stores are of 16 bytes
        _sgd(p, g, b, left, rate, momentum, keep, weight_decay, MOMENTUM, NESTEROV, FIRST, DECAY, MAXIMIZE, B, True)
    else:
        _sgd(p, g, b, left, rate, momentum, keep, weight_decay, MOMENTUM, NESTEROV, FIRST, DECAY, MAXIMIZE, B, False)


@triton.jit
def _adam(
    p_at, g_at, m_at, v_at, u_at, left, rate, root, new1, beta2, new2, eps, weight_decay,
    DECAY: tl.constexpr, MAXIMIZE: tl.constexpr, AMSGRAD: tl.constexpr, B: tl.constexpr, FULL: tl.constexpr,
):  # fmt: skip
    p = _load(p_at, left, B, FULL)
    g = _direction(_load(g_at, left, B, FULL), p, weight_decay, DECAY, MAXIMIZE)
    if DECAY == "decoupled":
        p *= weight_decay
    m = _load(m_at, left, B, FULL)
    m += new1 * (g - m)
    v = beta2 * _load(v_at, left, B, FULL) + new2 * g * g
    _store(m_at, m, left, B, FULL)
    _store(v_at, v, left, B, FULL)
    if AMSGRAD:
        u = _load(u_at, left, B, FULL)
        v = tl.where((v > u) | (v != v), v, u)  # NaN stays, as in torch
        _store(u_at, v, left, B, FULL)
    _store(p_at, p - rate * (m / (tl.sqrt(v) * root + eps)), left, B, FULL)


@triton.jit
def adam_update(
    like,  # any one of the parameters: their dtype
    table,  # (6, T) int64: parameters, gradients, means m, squares v, their maxima u, sizes
    chunks,  # (programs, 2) int32
    count, rate, root, new1, beta2, new2, eps, weight_decay,  # as in adam_step
    DECAY: tl.constexpr, MAXIMIZE: tl.constexpr, AMSGRAD: tl.constexpr, ALIGNED: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    which = tl.load(chunks + 2 * tl.program_id(0))
    start = tl.load(chunks + 2 * tl.program_id(0) + 1).to(tl.int64) * B
    state: tl.constexpr = tl.pointer_type(tl.float32)
    p = _address(table, 0, count, which, start, like.dtype, ALIGNED)
    g = _address(table, 1, count, which, start, like.dtype, ALIGNED)
    m = _address(table, 2, count, which, start, state, ALIGNED)
    v = _address(table, 3, count, which, start, state, ALIGNED)
    u = _address(table, 4, count, which, start, state, ALIGNED)
    left = tl.load(table + 5 * count + which) - start
    if left >= B:
        _adam(p, g, m, v, u, left, rate, root, new1, beta2, new2, eps, weight_decay, DECAY, MAXIMIZE, AMSGRAD, B, True)
    else:
        _adam(p, g, m, v, u, left, rate, root, new1, beta2, new2, eps, weight_decay, DECAY, MAXIMIZE, AMSGRAD, B, False)


BLOCK = 2048  # elements of a program


def _block(sizes):
    return tiles.power(max(sizes), 65536) if launch.INTERPRETED else BLOCK


def _to_device(numbers, device):
    if device.type == "cuda":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


@lru_cache(maxsize=64)
def _chunk_table(device, stream, sizes, block):
    """Return the table of chunks for these sizes; `stream` is a key because the copy is ordered on one stream only."""
    blocks = torch.tensor([triton.cdiv(size, block) for size in sizes], device="cpu")
    which = torch.repeat_interleave(torch.arange(len(sizes), device="cpu"), blocks)
    number = torch.arange(which.numel(), device="cpu") - (blocks.cumsum(0) - blocks)[which]
    return _to_device(torch.stack((which, number), 1).int(), device)


@lru_cache(maxsize=64)
def _address_table(device, stream, addresses, sizes):
    """Return the table of addresses and sizes, and whether all addresses are multiples of 16 bytes."""
    numbers = torch.tensor(addresses + sizes, dtype=torch.int64, device="cpu").view(-1, len(sizes))
    return _to_device(numbers, device), all(address % 16 == 0 for address in addresses)


def _same_order(a, b):
    """Return whether two tensors of one shape run through their memory in the same order."""
    if a.is_contiguous() and b.is_contiguous():
        return True
    return a.stride() == b.stride()


def _dense(x):
    return x.is_contiguous() or x.stride() == torch.empty_like(x, device="meta").stride()


def _checked(parameters, gradients, states):
    """Return the gradients, copied where their order in memory is not their parameter's.

    Raises:
        UsageError: What the kernels cannot do.
    """
    out = []
    for p, g in zip(parameters, gradients, strict=True):
        launch.check_dtype(p)
        if (g.layout, g.dtype, g.shape, g.device) != (torch.strided, p.dtype, p.shape, p.device):
            raise UsageError(
                f"a dense gradient {tuple(p.shape)} in {p.dtype} on {p.device}",
                f"{tuple(g.shape)} in {g.dtype}, {g.layout} on {g.device}",
                "make it dense or move it, or take torch's optimizer",
            )
        if not _dense(p):
            raise UsageError(
                "parameters that fill their memory",
                f"strides {p.stride()} for {tuple(p.shape)}",
                "make them contiguous",
            )
        out.append(g if _same_order(p, g) else torch.empty_like(p).copy_(g))
    for row in states:
        for p, s in zip(parameters, row, strict=True):
            if (s.dtype, s.shape, s.device) != (torch.float32, p.shape, p.device) or not _same_order(p, s):
                raise UsageError(
                    f"float32 state {tuple(p.shape)} in the strides {p.stride()} on {p.device}",
                    f"{s.dtype} {tuple(s.shape)} in {s.stride()} on {s.device}",
                    "make it with torch.zeros_like(parameter, dtype=torch.float32)",
                )
    return out


def _launches(rows):
    """Yield grid and arguments up to the count, and the constants of the tables, by device and dtype of rows[0].

    Empty tensors are left out.
    """
    groups = {}
    for column in zip(*rows, strict=True):
        if column[0].numel():
            groups.setdefault((column[0].device, column[0].dtype), []).append(column)
    for (device, _), columns in groups.items():
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        sizes = tuple(column[0].numel() for column in columns)
        block = _block(sizes)
        chunks = _chunk_table(device, stream, sizes, block)
        addresses = tuple(t.data_ptr() for row in zip(*columns, strict=True) for t in row)
        table, aligned = _address_table(device, stream, addresses, sizes)
        arguments = ((chunks.shape[0],), columns[0][0], table, chunks, len(sizes))
        yield arguments, {"ALIGNED": aligned, "B": block}


def _decay(weight_decay, decoupled=False):
    return "none" if weight_decay == 0 else "decoupled" if decoupled else "coupled"


def sgd_step(parameters, gradients, buffers, rate, momentum, dampening, weight_decay, nesterov, maximize, first):
    """Take a step of SGD in place, as `striate.core.ops.sgd_step` documents it."""
    gradients = _checked(parameters, gradients, [buffers] if momentum else [])
    numbers = tuple(map(float, (rate, momentum, 1.0 - dampening, weight_decay)))
    for arguments, tables in _launches([parameters, gradients, buffers if momentum else gradients]):
        launch.run(
            sgd_update, *arguments, *numbers, MOMENTUM=momentum != 0, NESTEROV=nesterov, FIRST=first,
            DECAY=_decay(weight_decay), MAXIMIZE=maximize, **tables,
        )  # fmt: skip
    torch.autograd.graph.increment_version(parameters)  # a graph that still needs the old values then says so


def adam_step(
    parameters, gradients, means, squares, maxima, step, rate, beta1, beta2, eps, weight_decay, decoupled, maximize
):
    """Take a step of Adam in place, as `striate.core.ops.adam_step` documents it."""
    gradients = _checked(parameters, gradients, [means, squares, *([] if maxima is None else [maxima])])
    # corrections and complements in double precision: 1 - 0.999 keeps 5 digits in float32
    decay = 1.0 - rate * weight_decay if decoupled else weight_decay
    corrected = rate / (1.0 - beta1**step), (1.0 - beta2**step) ** -0.5
    numbers = tuple(map(float, (*corrected, 1.0 - beta1, beta2, 1.0 - beta2, eps, decay)))
    for arguments, tables in _launches([parameters, gradients, means, squares, squares if maxima is None else maxima]):
        launch.run(
            adam_update, *arguments, *numbers, DECAY=_decay(weight_decay, decoupled), MAXIMIZE=maximize,
            AMSGRAD=maxima is not None, **tables,
        )  # fmt: skip
    torch.autograd.graph.increment_version(parameters)
