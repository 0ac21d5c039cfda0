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


def fit(x: Float[Tensor, "n p"], y: Float[Tensor, "n k"]) -> Ridge:
    """The fit of the strength with the least squared error of rows left out.

    As scikit-learn's `RidgeCV`: all leave-one-out errors come from one eigendecomposition, of
    x xᵀ or of xᵀ x, whichever is smaller (Rifkin & Lippert 2007).
    """
    x, y = x.double(), y.double()
    means, offset = x.mean(dim=0), y.mean(dim=0)
    x, y = x - means, y - offset
    n, p = x.shape
    is_dual = n <= p
    values, basis = torch.linalg.eigh(x @ x.T if is_dual else x.T @ x)
    values = values.clamp(min=0)
    rows = basis if is_dual else x @ basis
    projected = rows.T @ y
    errors = []
    for strength in STRENGTHS.tolist():
        inverse = 1 / (values + strength)
        # y less its fit, and 1 less the leverage of each row; the intercept takes 1 / n of both.
        if is_dual:
            residual = strength * (rows @ (inverse.unsqueeze(1) * projected))
            free = strength * (rows.square() @ inverse) - 1 / n
        else:
            residual = y - rows @ (inverse.unsqueeze(1) * projected)
            free = 1 - rows.square() @ inverse - 1 / n
        errors.append(residual / free.clamp(min=1e-12).unsqueeze(1))
    best = int(torch.stack([error.square().mean() for error in errors]).argmin())
    strength = float(STRENGTHS[best])
    solution = basis @ (projected / (values + strength).unsqueeze(1))
    weight = x.T @ solution if is_dual else solution
    return Ridge(weight, offset - means @ weight, y + offset - errors[best], strength)


def temperature(scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> float:
    """Temperature that scores are divided by before a softmax, by maximum likelihood of the labels.

    Labels are smoothed by 1 / (n + 2), so that scores without a mistake do not make it endlessly
    sure (Platt 1999).
    """
    smoothing = 1 / (len(y) + 2)
    losses = [
        F.cross_entropy(scores / value, y, label_smoothing=smoothing)
        for value in TEMPERATURES.to(scores)
    ]
    return float(TEMPERATURES[int(torch.stack(losses).argmin())])
