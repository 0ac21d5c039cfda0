"""A bias towards entities, where a net that is unsure had better name one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqfuse.nn import collectives
from seqfuse.nn.chain import Scores
from seqfuse.tasks.tag_metrics import EntityF1, check_bio

OUTSIDE = "O"


class EntityBias(nn.Module):
    """Takes from the score of `O` what gives the best entity F1 on the validation split.

    Rare entities are named too seldom by a net that is trained to be right about most words.
    The bias is one number, chosen on the validation split that early stopping looks at, too:
    what is measured there is measured after it was chosen, and so a little too good.

    Args:
        classes: names of the tags, `O` among them.
        biases: to choose from; 0 changes nothing.

    Raises:
        InputError: the tags are not BIO.
    """

    bias: Tensor

    def __init__(
        self,
        classes: Sequence[str],
        biases: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
    ):
        super().__init__()
        check_bio(classes)
        self.outside = list(classes).index(OUTSIDE) if OUTSIDE in classes else 0
        self.biases = list(biases)
        self.tries = [EntityF1(classes) for _ in self.biases]
        self.register_buffer("bias", torch.tensor(0.0))

    def forward(self, prediction: Scores) -> Scores:
        """The scores with the bias taken from those of `O`."""
        return self._less(prediction, self.bias.to(prediction))

    def _less(self, prediction: Tensor, bias: Tensor | float) -> Tensor:
        at = torch.arange(prediction.shape[-1], device=prediction.device) == self.outside
        return prediction - bias * at

    def clear(self) -> None:
        """Forgets what was counted."""
        for one in self.tries:
            one.reset()

    def update(self, prediction: Scores, y: Tensor) -> None:
        """Counts what each bias would have found."""
        for bias, one in zip(self.biases, self.tries, strict=True):
            one.update(self._less(prediction.detach(), bias).cpu(), y.cpu())

    def fit(self) -> None:
        """Chooses the bias; the smallest of equal ones."""
        counts = torch.stack([torch.stack([t.right, t.predicted + t.true]) for t in self.tries])
        right, both = sum(collectives.gather(counts)).unbind(dim=1)  # type: ignore[union-attr]
        self.bias.fill_(self.biases[int((2 * right / both.clamp(min=1)).argmax())])
