"""Ensembles of nets: their mean, their disagreement, and the bank that they share."""

import copy
import math

import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor

from seqfuse.config import build, recipes
from seqfuse.predicting.ensemble import ClassAverage, Ensemble, LabelAverage, NumberAverage
from seqfuse.runtime.errors import InputError
from tests.conftest import TINY, composed

SIZES = ("data.channels=2", "data.num_classes=3", "data.num_steps=30", "data.class_counts=[5,5,5]")
BANK = ("model/bank=convolutions", "model.bank.num_features=500", "model.bank.num_groups=4")


def draw(*shape: int) -> Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64)


def config(*words: str) -> recipes.Config:
    return recipes.resolve(composed([*TINY, *SIZES, *words]))


def ensemble(*words: str) -> Ensemble:
    net = build.build_task(config("ensemble=3", *words)).net.eval()
    assert isinstance(net, Ensemble)
    return net


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 9, 3)])
def test_classes_have_the_mean_of_probabilities(shape: tuple[int, ...]) -> None:
    scores = draw(*shape)
    mean = scores.softmax(dim=-1).mean(dim=0)
    torch.testing.assert_close(ClassAverage().join(scores), mean.log())
    divergence = rel_entr(scores.softmax(dim=-1).numpy(), mean.numpy()).sum(axis=-1).mean(axis=0)
    found = ClassAverage().disagreement(scores)
    torch.testing.assert_close(found, torch.from_numpy(divergence))
    entropy = [-(p * p.log()).sum(dim=-1) for p in (mean, scores.softmax(dim=-1))]
    torch.testing.assert_close(found, entropy[0] - entropy[1].mean(dim=0))


def test_labels_have_the_mean_of_probabilities() -> None:
    scores = draw(4, 6, 5)
    mean = scores.sigmoid().mean(dim=0)
    torch.testing.assert_close(LabelAverage().join(scores).sigmoid(), mean)
    entropy = [-(p * p.log() + (1 - p) * (1 - p).log()) for p in (mean, scores.sigmoid())]
    wanted = (entropy[0] - entropy[1].mean(dim=0)).mean(dim=-1)
    torch.testing.assert_close(LabelAverage().disagreement(scores), wanted)


@pytest.mark.parametrize("shape", [(4, 6, 2, 3), (4, 6, 8, 2, 3)])
def test_numbers_have_the_mean_of_each_quantile(shape: tuple[int, ...]) -> None:
    outputs = draw(*shape).sort(dim=-1).values
    joined = NumberAverage().join(outputs)
    torch.testing.assert_close(joined, outputs.mean(dim=0))
    assert (joined.diff(dim=-1) >= 0).all(), "quantiles stay in order"
    wanted = outputs[..., 1].std(dim=0, correction=0)
    torch.testing.assert_close(NumberAverage().disagreement(outputs), wanted)


@pytest.mark.parametrize("average", [ClassAverage(), LabelAverage()])
def test_members_of_one_mind_and_of_opposite_ones(average: ClassAverage | LabelAverage) -> None:
    same = draw(1, 6, 2).expand(5, -1, -1)
    torch.testing.assert_close(
        average.disagreement(same), torch.zeros(6).double(), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(average.join(same).softmax(-1), average.join(same[:1]).softmax(-1))
    opposite = torch.tensor([[[1e4, -1e4]], [[-1e4, 1e4]]])
    assert average.disagreement(opposite).item() == pytest.approx(math.log(2))
    assert average.join(opposite).isfinite().all()


def test_an_ensemble_is_the_mean_of_its_nets() -> None:
    net = ensemble()
    x, mask = torch.randn(4, 30, 2), torch.ones(4, 30, dtype=torch.bool)
    outputs = [member(x, mask) for member in net.members]
    assert len({output.prediction.sum().item() for output in outputs}) == 3, "weights of their own"
    prediction, weights, _, disagreement, encoding = net(x, mask)
    predictions = torch.stack([output.prediction for output in outputs])
    torch.testing.assert_close(prediction.exp(), predictions.softmax(dim=-1).mean(dim=0))
    torch.testing.assert_close(weights, torch.stack([o.weights for o in outputs]).mean(dim=0))
    assert disagreement is not None
    assert (disagreement > 0).all()
    assert outputs[0].disagreement is None
    assert net.stride == net.members[0].stride
    queries, weights_too = net.encode(x, mask)
    assert queries[..., -2:].equal(net.members[-1].encode(x, mask)[0][..., -2:])
    torch.testing.assert_close(weights_too, weights)
    assert encoding.equal(queries)


def test_padding_changes_nothing() -> None:
    net = ensemble(*BANK).double()
    x, mask = torch.randn(3, 30, 2).double(), torch.arange(30) < torch.tensor([[30], [9], [20]])
    whole = net(x.masked_fill(~mask.unsqueeze(2), 1e3), mask)
    for i, steps in enumerate((30, 9, 20)):
        alone = net(x[i : i + 1, :steps], mask[i : i + 1, :steps])
        torch.testing.assert_close(whole.prediction[i], alone.prediction[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(whole.disagreement[i], alone.disagreement[0], atol=1e-10, rtol=0)


def test_members_share_one_bank_which_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = ensemble(*BANK)
    x, mask = torch.randn(15, 30, 2), torch.ones(15, 30, dtype=torch.bool)
    assert net.bank is not None
    net.bank.fit(x, mask, torch.arange(15) % 3)
    banks = [name for name in net.state_dict() if name.endswith("is_fitted")]
    assert banks == ["bank.is_fitted"]
    single = build.build_task(config(*BANK)).net.eval()
    predictions = []
    for member in net.members:
        own = {f"bank.{name}": value for name, value in net.bank.state_dict().items()}
        single.load_state_dict(member.state_dict() | own)
        predictions.append(single(x, mask).prediction)
    looks = []
    features = net.bank.features
    monkeypatch.setattr(net.bank, "features", lambda *batch: looks.append(1) or features(*batch))
    found = net(x, mask)
    assert len(looks) == 1
    wanted = torch.stack(predictions)
    torch.testing.assert_close(found.prediction, ClassAverage().join(wanted), atol=0, rtol=0)
    assert found.disagreement is not None
    torch.testing.assert_close(found.disagreement, ClassAverage().disagreement(wanted))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["ensemble=0"], "ensemble=0.*from 1 to 100"),
        (["ensemble=-1"], "ensemble=-1.*from 1 to 100"),
        (["ensemble=101"], "ensemble=101.*from 1 to 100"),
        (["ensemble=2", "task=contrastive"], "ensemble=2.*NtXent"),
        (["ensemble=2", "model=bank"], "ensemble=2.*bank"),
        (["ensemble=2", "model=steps", "task=tagging", "model/head=crf"], "CRF.*model/head=tags"),
    ],
)
def test_what_has_no_average_is_refused(words: list[str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        build.build_task(config(*words))


def test_a_config_from_before_there_were_ensembles_builds_one_net() -> None:
    older = copy.deepcopy(config())
    del older["ensemble"]
    names = build.build_task(older).state_dict().keys()
    assert names == build.build_task(config()).state_dict().keys()
