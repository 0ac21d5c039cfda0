"""Tags and their probabilities in numpy are those of torch."""

import numpy as np
import pytest
import torch

from seqfuse.nn import crf as torch_crf
from seqfuse.runtime.jobs import crf


@pytest.mark.parametrize("shape", [(4, 9, 5), (4, 9, 5, 5), (1, 1, 3, 3)])
def test_best_tags_and_probabilities(shape: tuple[int, ...]) -> None:
    scores = 3 * torch.randn(shape)
    lengths = torch.tensor([9, 4, 1, 7])[: shape[0]].clamp(max=shape[1])
    mask = torch.arange(shape[1]) < lengths.unsqueeze(1)
    tags = crf.best_tags(scores.numpy(), mask.numpy())
    assert tags.tolist() == torch_crf.decode(scores, mask).tolist()
    found = crf.tag_probabilities(scores.numpy(), mask.numpy())[mask.numpy()]
    wanted = torch_crf.marginals(scores, mask)[mask].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
