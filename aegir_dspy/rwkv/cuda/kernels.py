# mypy: ignore-errors
# What follows is Triton's language, which only looks like Python.
"""The kernels between the matrix products, in Triton: what `kernels/rwkv7.c` is on a processor.

Import it only where Triton is installed. Matrices are (M, D), the tokens of B streams one after the other;
stream b has the rows offsets[b] … offsets[b + 1]. With ``ONE``, every stream has one token. Sums and states
are float32, whatever the type of the products.

- `shift_mix`: residual, norm, token shift; a program a row.
- `time_mix_step`: from the projections to what the output matrix takes, one token; a program a head.
- `prepare`, `walk`, `finish`: the same for many tokens. The recurrence runs token by token, with the
  columns of a head's state in programs of their own, which never need each other.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["finish", "prepare", "shift_mix", "square_relu", "time_mix_step", "walk"]


@triton.jit
def _normed(x, add, row, weight, bias, i, keep, width, ADD: tl.constexpr):
    """The sum of the residual stream and what is added, and its norm."""
    total = tl.load(x + row * width + i, mask=keep, other=0.0)
    if ADD:
        total += tl.load(add + row * width + i, mask=keep, other=0.0).to(tl.float32)
    apart = tl.where(keep, total - tl.sum(total, 0) / width, 0.0)
    scale = tl.rsqrt(tl.sum(apart * apart, 0) / width + 1e-5)
    return total, apart * scale * weight + bias


@triton.jit
def _mixed(now, delta, mix, out, row, i, keep, width):
    share = tl.load(mix + i, mask=keep, other=0.0)
    tl.store(out + row * width + i, (now + delta * share).to(out.dtype.element_ty), mask=keep)


@triton.jit
def shift_mix(
    x,  # (M, D) float32 the residual stream
    add,  # (M, D) what is added to it
    x_out,  # (M, D) float32; `x` itself only with ONE
    weight,  # (D) of the norm
    bias,
    m0,  # (D) each: how much of the token before goes into each output
    m1,
    m2,
    m3,
    m4,
    m5,
    out,  # (OUTPUTS, M, D)
    past,  # (B, D) float32 the normalised token before each stream's first
    past_out,  # (B, D) float32 its last
    streams,  # (M) which stream each row belongs to
    offsets,  # (B + 1)
    rows,
    width,
    BLOCK: tl.constexpr,
    OUTPUTS: tl.constexpr,
    ADD: tl.constexpr,
    ONE: tl.constexpr,
):
    """Add, normalise, mix with the token before in OUTPUTS ways."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    keep = i < width
    scale = tl.load(weight + i, mask=keep, other=0.0)
    move = tl.load(bias + i, mask=keep, other=0.0)
    total, now = _normed(x, add, row, scale, move, i, keep, width, ADD)
    now = now.to(out.dtype.element_ty).to(tl.float32)
    if ONE:
        before = tl.load(past + row * width + i, mask=keep, other=0.0)
        tl.store(past_out + row * width + i, now, mask=keep)
    else:
        stream = tl.load(streams + row).to(tl.int64)
        first = row == tl.load(offsets + stream)
        last = row == tl.load(offsets + stream + 1) - 1
        above = tl.maximum(row - 1, 0)
        _, before = _normed(x, add, above, scale, move, i, keep, width, ADD)
        before = before.to(out.dtype.element_ty).to(tl.float32)
        start = tl.load(past + stream * width + i, mask=i < tl.where(first, width, 0), other=0.0)
        before = tl.where(first, start, before)
        tl.store(past_out + stream * width + i, now, mask=i < tl.where(last, width, 0))
    tl.store(x_out + row * width + i, total, mask=keep)
    delta = before - now
    step = rows * width
    _mixed(now, delta, m0, out, row, i, keep, width)
    if OUTPUTS == 6:
        _mixed(now, delta, m1, out + step, row, i, keep, width)
        _mixed(now, delta, m2, out + 2 * step, row, i, keep, width)
        _mixed(now, delta, m3, out + 3 * step, row, i, keep, width)
        _mixed(now, delta, m4, out + 4 * step, row, i, keep, width)
        _mixed(now, delta, m5, out + 5 * step, row, i, keep, width)


@triton.jit
def _terms(r, k, v, w, a, blend, v_first, w0, a0, v0, k_k, k_a, at, d, BLEND: tl.constexpr):
    """r, log_w, k, v, a, b of one head and token; `at` where they lie in (M, D), `d` in (D)."""
    key = tl.load(k + at).to(tl.float32)
    value = tl.load(v + at).to(tl.float32)
    rate = tl.sigmoid(tl.load(a0 + d) + tl.load(a + at).to(tl.float32))
    slow = tl.sigmoid(tl.load(w0 + d) + tl.load(w + at).to(tl.float32))
    if BLEND:
        share = tl.sigmoid(tl.load(v0 + d) + tl.load(blend + at).to(tl.float32))
        value += (tl.load(v_first + at).to(tl.float32) - value) * share
    erase = key * tl.load(k_k + d)
    erase = erase / tl.maximum(tl.sqrt(tl.sum(erase * erase, 0)), 1e-12)
    key = key * (1 + (rate - 1) * tl.load(k_a + d))
    return tl.load(r + at).to(tl.float32), -0.606531 * slow, key, value, -erase, erase * rate


@triton.jit
def _moved(state, r, log_w, k, v, a, b):
    """The state (K, V) after a token, and what is read of it (V)."""
    read = tl.sum(a[:, None] * state, 0)
    state = state * tl.exp(log_w)[:, None] + b[:, None] * read[None, :] + k[:, None] * v[None, :]
    return state, tl.sum(r[:, None] * state, 0)


@triton.jit
def _gated(y, r, k, v, gate, r_k, weight, bias, N: tl.constexpr):
    """Normalise the head, add the current token's bonus, gate."""
    apart = y - tl.sum(y, 0) / N
    y = apart * tl.rsqrt(tl.sum(apart * apart, 0) / N + 64e-5) * weight + bias
    return (y + tl.sum(r * k * r_k, 0) * v) * gate


@triton.jit
def time_mix_step(
    r, k, v, w, a, g, blend, v_first,  # (B, D) products
    w0, a0, v0, k_k, k_a, r_k, weight, bias,  # (D)
    state,  # (B, H, N, N) float32 in place
    out,  # (B, D)
    heads,
    N: tl.constexpr,
    BLEND: tl.constexpr,
):  # fmt: skip
    """One token of every stream; updates the states in place."""
    unit = tl.program_id(0).to(tl.int64)  # stream · H + head
    i = tl.arange(0, N)
    at, d = unit * N + i, unit % heads * N + i
    terms = _terms(r, k, v, w, a, blend, v_first, w0, a0, v0, k_k, k_a, at, d, BLEND)
    tile = state + unit * N * N + i[:, None] * N + i[None, :]
    after, y = _moved(tl.load(tile), *terms)
    tl.store(tile, after)
    gate = tl.load(g + at).to(tl.float32)
    y = _gated(
        y, terms[0], terms[2], terms[3], gate, tl.load(r_k + d), tl.load(weight + d), tl.load(bias + d), N
    )
    tl.store(out + at, y.to(out.dtype.element_ty))


@triton.jit
def prepare(
    r, k, v, w, a, blend, v_first,  # (M, D) products
    w0, a0, v0, k_k, k_a,  # (D)
    terms,  # (6, M, H, N) float32
    rows,
    heads,
    N: tl.constexpr,
    BLEND: tl.constexpr,
):  # fmt: skip
    """r, log_w, k, v, a, b of every token."""
    unit = tl.program_id(0).to(tl.int64)  # row · H + head
    i = tl.arange(0, N)
    at, d = unit * N + i, unit % heads * N + i
    found = _terms(r, k, v, w, a, blend, v_first, w0, a0, v0, k_k, k_a, at, d, BLEND)
    step = rows * heads * N
    for j in tl.static_range(6):
        tl.store(terms + j * step + at, found[j])


@triton.jit
def walk(
    r, log_w, k, v, a, b,  # (M, H, N) float32
    state,  # (B, H, N, N) float32 in place
    y,  # (M, H, N) float32
    offsets,  # (B + 1)
    heads,
    N: tl.constexpr,
    COLUMNS: tl.constexpr,
    ADD: tl.constexpr,  # without it: only what becomes of the state, nothing added, nothing read
):  # fmt: skip
    """The recurrence over whole streams; updates the states in place."""
    unit = tl.program_id(0).to(tl.int64)  # stream · H + head
    stream, head = unit // heads, unit % heads
    i = tl.arange(0, N)
    j = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    tile = state + unit * N * N + i[:, None] * N + j[None, :]
    matrix = tl.load(tile)
    last = tl.load(offsets + stream + 1)
    for row in range(tl.load(offsets + stream), last):
        at = (row * heads + head) * N
        read = tl.sum(tl.load(a + at + i)[:, None] * matrix, 0)
        matrix = (
            matrix * tl.exp(tl.load(log_w + at + i))[:, None] + tl.load(b + at + i)[:, None] * read[None, :]
        )
        if ADD:
            matrix += tl.load(k + at + i)[:, None] * tl.load(v + at + j)[None, :]
            tl.store(y + at + j, tl.sum(tl.load(r + at + i)[:, None] * matrix, 0))
    tl.store(tile, matrix)


@triton.jit
def finish(
    y, r, k, v,  # (M, H, N) float32
    g,  # (M, D)
    r_k, weight, bias,  # (D)
    out,  # (M, D)
    heads,
    N: tl.constexpr,
):  # fmt: skip
    """From what was read to what the output matrix takes."""
    unit = tl.program_id(0).to(tl.int64)  # row · H + head
    i = tl.arange(0, N)
    at, d = unit * N + i, unit % heads * N + i
    gate = tl.load(g + at).to(tl.float32)
    found = _gated(tl.load(y + at), tl.load(r + at), tl.load(k + at), tl.load(v + at), gate,
                   tl.load(r_k + d), tl.load(weight + d), tl.load(bias + d), N)  # fmt: skip
    tl.store(out + at, found.to(out.dtype.element_ty))


@triton.jit
def square_relu(x, count, BLOCK: tl.constexpr):
    """x ← max(x, 0)², in place."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    one = tl.maximum(tl.load(x + i, mask=i < count, other=0.0).to(tl.float32), 0.0)
    tl.store(x + i, (one * one).to(x.dtype.element_ty), mask=i < count)
