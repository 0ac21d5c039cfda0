"""Linear-chain CRF (Lafferty et al. 2001): log-likelihood, Viterbi, marginals; or single steps.

Scores of single steps are (b t k). Those of a CRF are (b t k k): row i, column j is the score of
tag j at a step behind tag i; at the first step all rows are alike.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Scores = Float[Tensor, "b t k"] | Float[Tensor, "b t k k"]


def log_likelihood(
    scores: Scores, tags: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, " b"]:
    """The logarithm of the probability of the tags; tags where `mask` is false do not count."""
    tags = tags.clamp(min=0)
    if scores.dim() == 3:
        each = scores.log_softmax(dim=-1).gather(2, tags.unsqueeze(2)).squeeze(2)
        return (each * mask).sum(dim=1)
    before = F.pad(tags[:, :-1], (1, 0))
    pairs = (before * scores.shape[-1] + tags).unsqueeze(2)
    path = scores.flatten(2).gather(2, pairs).squeeze(2)
    return (path * mask).sum(dim=1) - _forwards(scores, mask)[-1].logsumexp(dim=-1)


def _forwards(scores: Tensor, mask: Tensor) -> list[Tensor]:
    """For each step (b k): the logarithm of the summed weight of all paths to each tag."""
    sums = [scores[:, 0, 0]]
    for t in range(1, scores.shape[1]):
        here = (sums[-1].unsqueeze(2) + scores[:, t]).logsumexp(dim=1)
        sums.append(torch.where(mask[:, t, None], here, sums[-1]))
    return sums


def decode(scores: Scores, mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """The best tags: of a CRF the best path (Viterbi 1967); 0 where `mask` is false."""
    if scores.dim() == 3:
        return scores.argmax(dim=-1).masked_fill(~mask, 0)
    best, choices = scores[:, 0, 0], []
    for t in range(1, scores.shape[1]):
        here, choice = (best.unsqueeze(2) + scores[:, t]).max(dim=1)
        best = torch.where(mask[:, t, None], here, best)
        choices.append(choice)
    return _backtrack(best.argmax(dim=-1), choices, mask)


def _backtrack(last: Tensor, choices: list[Tensor], mask: Tensor) -> Tensor:
    path = [last]
    for t in range(len(choices), 0, -1):
        earlier = choices[t - 1].gather(1, path[-1].unsqueeze(1)).squeeze(1)
        path.append(torch.where(mask[:, t], earlier, path[-1]))
    return torch.stack(path[::-1], dim=1).masked_fill(~mask, 0)


def marginals(scores: Scores, mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t k"]:
    """The probability of each tag at each step (Rabiner 1989)."""
    if scores.dim() == 3:
        return scores.softmax(dim=-1)
    steps = scores.shape[1]
    later = [torch.zeros_like(scores[:, 0, 0])]
    for t in range(steps - 1, 0, -1):
        here = (scores[:, t] + later[-1].unsqueeze(1)).logsumexp(dim=2)
        later.append(torch.where(mask[:, t, None], here, later[-1]))
    both = torch.stack(_forwards(scores, mask), dim=1) + torch.stack(later[::-1], dim=1)
    return both.softmax(dim=-1)
