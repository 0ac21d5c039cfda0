"""Ridge regression in closed form: strength and temperature chosen by leaving each row out."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

STRENGTHS = torch.logspace(-3, 3, 10, dtype=torch.float64)
"""Regularisation strengths of the classifiers by Dempster et al. 2021 and 2023."""
TEMPERATURES = torch.logspace(-2, 1, 61, dtype=torch.float64)


class Ridge(NamedTuple):
    """A linear map of features, and what it says of each row without having seen it."""

    weight: Float[Tensor, "p k"]
    bias: Float[Tensor, " k"]
    left_out: Float[Tensor, "n k"]
    """Predictions of each row by a fit to all others."""
    strength: float


def fit(
    x: Float[Tensor, "n p"], y: Float[Tensor, "n k"], weights: Float[Tensor, " n"] | None = None
) -> Ridge:
    """The fit of the strength with the least squared error of rows left out.

    As scikit-learn's `RidgeCV`: all leave-one-out errors come from one eigendecomposition, of x xᵀ
    or of xᵀ x, whichever is smaller (Rifkin & Lippert 2007). Weights, above 0, are those of the
    rows' squared errors.
    """
    x, y = x.double(), y.double()
    n, p = x.shape
    shares = x.new_full((n, 1), 1 / n) if weights is None else _shares(weights).to(x)
    means, offset = (shares * x).sum(dim=0), (shares * y).sum(dim=0)
    roots = (n * shares).sqrt()
    x, y = (x - means) * roots, (y - offset) * roots
    is_dual = n <= p
    values, basis = torch.linalg.eigh(x @ x.T if is_dual else x.T @ x)
    values = values.clamp(min=0)
    rows = basis if is_dual else x @ basis
    projected = rows.T @ y
    errors = []
    for strength in STRENGTHS.tolist():
        inverse = 1 / (values + strength)
        # y less its fit, and 1 less the leverage of each row; its share is the intercept's.
        if is_dual:
            residual = strength * (rows @ (inverse.unsqueeze(1) * projected))
            free = strength * (rows.square() @ inverse) - shares.squeeze(1)
        else:
            residual = y - rows @ (inverse.unsqueeze(1) * projected)
            free = 1 - rows.square() @ inverse - shares.squeeze(1)
        errors.append(residual / free.clamp(min=1e-12).unsqueeze(1))
    best = int(torch.stack([error.square().mean() for error in errors]).argmin())
    strength = float(STRENGTHS[best])
    solution = basis @ (projected / (values + strength).unsqueeze(1))
    weight = x.T @ solution if is_dual else solution
    left_out = (y - errors[best]) / roots + offset
    return Ridge(weight, offset - means @ weight, left_out, strength)


def _shares(weights: Float[Tensor, " n"]) -> Float[Tensor, "n 1"]:
    return (weights.double() / weights.double().sum()).unsqueeze(1)


def temperature(
    scores: Float[Tensor, "n k"], y: Int[Tensor, " n"], weights: Float[Tensor, " n"] | None = None
) -> float:
    """Divisor of scores before a softmax, of the highest likelihood of the labels.

    Labels are smoothed by 1 / (n + 2), so that scores without a mistake do not make it endlessly
    sure (Platt 1999).
    """
    smoothing = 1 / (len(y) + 2)
    shares = torch.full_like(scores[:, :1], 1 / len(y)) if weights is None else _shares(weights)
    losses = [
        shares.squeeze(1).to(scores)
        @ F.cross_entropy(scores / value, y, label_smoothing=smoothing, reduction="none")
        for value in TEMPERATURES.to(scores)
    ]
    return float(TEMPERATURES[int(torch.stack(losses).argmin())])


def softening(scores: Float[Tensor, "n k"], confidence: float) -> float:
    """The least divisor, from 1, that makes the mean highest probability at most that."""
    for divisor in TEMPERATURES[TEMPERATURES >= 1].tolist():
        if float((scores / divisor).softmax(dim=1).amax(dim=1).mean()) <= confidence:
            break
    return divisor
