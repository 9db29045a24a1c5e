"""Ridge regression, also where there are fewer examples than dimensions, and of low rank."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["reduced_rank", "ridge"]


def ridge(x: Tensor, y: Tensor, strength: float) -> Tensor:
    """W (X, Y) that minimises ‖x·W - y‖² + λ‖W‖², computed in float64.

    Args:
        x: (B, X).
        y: (B, Y).
        strength: λ as a share of the mean square size of the columns of the smaller Gram matrix.
    """
    x, y = x.double(), y.double()
    few = x.shape[0] <= x.shape[1]  # then the dual form: the inverse has a row for an example
    gram = x @ x.T if few else x.T @ x
    added = (strength * gram.diagonal().mean()).clamp(min=1e-12)
    gram.diagonal().add_(added)
    factor = torch.linalg.cholesky(gram)
    if few:
        return x.T @ torch.cholesky_solve(y, factor)
    return torch.cholesky_solve(x.T @ y, factor)


def reduced_rank(x: Tensor, y: Tensor, rank: int, strength: float) -> tuple[Tensor, Tensor]:
    """Two factors (X, R) and (R, Y) of the ridge solution, the best for predicting from `x`.

    The solution is projected onto the main directions of its predictions (reduced-rank regression). R is
    `rank`, or less where there are fewer examples or dimensions.
    """
    weights = ridge(x, y, strength)
    predicted = x.double() @ weights
    if predicted.shape[0] < predicted.shape[1]:
        values, vectors = torch.linalg.eigh(predicted @ predicted.T)
        scale = values.clamp(min=values[-1] * 1e-12 + 1e-300).rsqrt()
        directions = (predicted.T @ (vectors * scale)).flip(1)  # (Y, B), main directions first
        directions = directions * (values.flip(0) > values[-1] * 1e-12)
    else:
        directions = torch.linalg.eigh(predicted.T @ predicted).eigenvectors.flip(1)  # (Y, Y)
    directions = directions[:, :rank]
    return weights @ directions, directions.T
