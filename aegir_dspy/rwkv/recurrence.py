r"""The WKV-7 recurrence: one step, and a whole chunk in parallel, in portable torch.

Per head, with the state S of shape (K, V) ("HKV" layout; the `rwkv` package keeps its transpose):

.. math:: S_t = (\mathrm{diag}(w_t) + b_t a_t^\top) S_{t-1} + k_t v_t^\top, \qquad y_t = S_t^\top r_t

(RWKV-7 "Goose", arXiv:2503.14456, eq. 16-17, with a = -κ̂ and b = κ̂ ⊙ rate.)

Inside a chunk of C tokens the products of decays are taken relative to the start of the chunk, which
turns the recurrence into C × C triangular systems and leaves one affine map S → M·S + U a chunk: the
only serial part is one small matrix product for every C tokens. C = 16 keeps exp(-Σ log w) below
2·10⁴, far inside float32.

On a processor a compiled kernel walks token by token where there is one, with first derivatives too
(`aegir_dspy.rwkv.kernels`); on a GPU there are Triton and flash-linear-attention (`aegir_dspy.rwkv.cuda`).
Where a processor has no kernel, short streams are walked so in torch: with the states of a
batch in the processor's cache that takes about a third of the time of the chunks (CPU, B·H from 40). Which
way is taken depends on the length alone, so that a stream's result does not depend on what else is in the
batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aegir_dspy.rwkv import cuda
from aegir_dspy.rwkv.kernels.gradients import can_learn, learn
from aegir_dspy.rwkv.kernels.inference import can_walk, walk

__all__ = ["CHUNK", "chunk_maps", "wkv_prefill", "wkv_step", "wkv_transition"]

CHUNK = 16
_SERIAL_UP_TO = 256  # tokens


def wkv_step(r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    """One token for every stream; `state` (B, H, K, V) is updated in place.

    All other arguments have shape (B, H, N). Returns y (B, H, V).
    """
    read = torch.matmul(a.unsqueeze(-2), state)  # (B, H, 1, V)
    state.mul_(log_w.exp().unsqueeze(-1))
    state.addcmul_(b.unsqueeze(-1), read)
    state.addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))
    return torch.matmul(r.unsqueeze(-2), state).squeeze(-2)


def wkv_prefill(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """T tokens for every stream, differentiable in every argument, `state` included.

    Arguments have shape (B, T, H, N), `state` (B, H, K, V). A position with log_w = 0 and
    k = b = 0 leaves the state as it is, which is how ragged streams are padded.
    Returns y (B, T, H, V) and the state after T tokens.
    """
    arguments = (r, log_w, k, v, a, b, state)
    if can_walk(*arguments):
        return walk(arguments[:6], state)
    if cuda.can_walk(*arguments):
        return cuda.walk(arguments[:6], state)
    needs_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in arguments)
    if needs_gradient and can_learn(*arguments):
        return learn(*arguments)
    if needs_gradient and cuda.can_learn(*arguments):
        return cuda.learn(*arguments)
    serial = not needs_gradient and r.device.type == "cpu" and r.shape[1] <= _SERIAL_UP_TO
    with torch.autocast(r.device.type, enabled=False):  # states stay float32 whatever the layers run in
        return _wkv_serial(*arguments) if serial else _wkv_chunks(*arguments)


def wkv_transition(log_w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """M of the affine map S_T = M·S_0 + U of every stream: what becomes of the identity, nothing added.

    Arguments have shape (B, T, H, N). Returns (B, H, K, K); differentiable. U is the state read from zero.
    """
    batch, _, heads, size = log_w.shape
    nothing = torch.zeros_like(log_w)
    eye = torch.eye(size, dtype=log_w.dtype, device=log_w.device).expand(batch, heads, size, size)
    return wkv_prefill(nothing, log_w, nothing, nothing, a, b, eye)[1]


def _wkv_chunks(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """`wkv_prefill` chunk by chunk."""
    length = r.shape[1]
    r, log_w, k, v, a, b = (_chunked(x) for x in (r, log_w, k, v, a, b))  # (B, H, n, C, N)
    transition, update, out_state, out_local = _chunk_terms(r, log_w, k, v, a, b)
    starts = []  # state before each chunk
    # unbind, not indexing: its gradient is one stack instead of a zero-filled tensor a chunk
    for m, u in zip(transition.unbind(2), update.unbind(2), strict=True):
        starts.append(state)
        state = torch.matmul(m, state) + u
    y = torch.matmul(out_state, torch.stack(starts, 2)) + out_local  # (B, H, n, C, V)
    y = y.flatten(2, 3).transpose(1, 2)[:, :length]
    return y, state


def _wkv_serial(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """`wkv_prefill` token by token in one buffer; same shapes, no gradients."""
    batch, length, heads, size = r.shape
    y = r.new_empty(length, batch * heads, 1, size)
    read = r.new_empty(batch * heads, 1, size)
    walk = [x.transpose(0, 1).reshape(length, batch * heads, size) for x in (r, log_w.exp(), k, v, a, b)]
    matrix = state.reshape(batch * heads, size, size).clone()
    for t, (r_t, w_t, k_t, v_t, a_t, b_t) in enumerate(zip(*(x.unbind(0) for x in walk), strict=True)):
        torch.bmm(a_t.unsqueeze(1), matrix, out=read)
        matrix.mul_(w_t.unsqueeze(2)).addcmul_(b_t.unsqueeze(2), read)
        matrix.addcmul_(k_t.unsqueeze(2), v_t.unsqueeze(1))
        torch.bmm(r_t.unsqueeze(1), matrix, out=y[t])
    return y.view(length, batch, heads, size).transpose(0, 1), matrix.view_as(state)


def chunk_maps(log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The affine map of a whole stream: S_T = M·S_0 + U, with M (B, H, K, K) and U (B, H, K, V)."""
    log_w, k, v, a, b = (_chunked(x) for x in (log_w, k, v, a, b))
    transition, update, _, _ = _chunk_terms(torch.zeros_like(k), log_w, k, v, a, b)
    maps = list(zip(transition.unbind(2), update.unbind(2), strict=True))
    total_m, total_u = maps[0]
    for m, u in maps[1:]:
        total_m, total_u = torch.matmul(m, total_m), torch.matmul(m, total_u) + u
    return total_m, total_u


def _chunked(x: Tensor) -> Tensor:
    """(B, T, H, N) → (B, H, n, C, N), zero-padded at the end (zero is the neutral position)."""
    batch, length, heads, size = x.shape
    missing = -length % CHUNK
    if missing:
        x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, missing))
    return x.transpose(1, 2).reshape(batch, heads, -1, CHUNK, size)


def _chunk_terms(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The parts of a chunk that do not depend on the state before it.

    All arguments (B, H, n, C, N). Returns M (.., K, K), U (.., K, V), and the output as
    Y = out_state · S_0 + out_local, with out_state (.., C, K) and out_local (.., C, V).
    """
    decay = log_w.cumsum(-2)
    grow = torch.exp(-decay)
    end = decay[..., -1:, :].exp()  # (.., 1, N) decay over the whole chunk
    queries = torch.cat([a * torch.exp(decay - log_w), r * torch.exp(decay)], -2)  # (.., 2C, N)
    keys = torch.cat([b * grow, k * grow], -2)  # (.., 2C, N)
    scores = torch.matmul(queries, keys.transpose(-1, -2)) * _causal(r)  # (.., 2C, 2C)
    ab, ak = scores[..., :CHUNK, :CHUNK], scores[..., :CHUNK, CHUNK:]
    # u_t = a_tᵀ S_{t-1}: what the removal term reads, solved for the whole chunk at once.
    right = torch.cat([queries[..., :CHUNK, :], torch.matmul(ak, v)], -1)  # (.., C, K+V)
    eye = torch.eye(CHUNK, dtype=r.dtype, device=r.device)
    reads = torch.linalg.solve_triangular(eye - ab, right, upper=False, unitriangular=True)
    width = r.shape[-1]
    values = torch.cat([reads, torch.cat([torch.zeros_like(v), v], -1)], -2)  # (.., 2C, K+V)
    late = (keys * end).transpose(-1, -2)  # (.., K, 2C)
    state_terms = torch.matmul(late, values)  # (.., K, K+V)
    transition = state_terms[..., :width] + torch.diag_embed(end.squeeze(-2))
    out = torch.matmul(scores[..., CHUNK:, :], values)  # (.., C, K+V)
    out_state = out[..., :width] + queries[..., CHUNK:, :]
    return transition, state_terms[..., width:], out_state, out[..., width:]


def _causal(like: Tensor) -> Tensor:
    """Which (query, key) pairs of a chunk count: `a` reads strictly before, `r` up to its own token."""
    ones = torch.ones(CHUNK, CHUNK, dtype=like.dtype, device=like.device)
    strict, inclusive = ones.tril(-1), ones.tril()
    return torch.cat([strict.repeat(1, 2), inclusive.repeat(1, 2)], 0)
