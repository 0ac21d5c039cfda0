"""The net as a whole: size, equality with the reference, padding, ablation."""

import functools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqfuse.config import build, cli, recipes
from seqfuse.nn.net import Net
from seqfuse.runtime.errors import InputError
from tests.conftest import composed
from tests.nn.reference import Reference, renamed

MODELS = {
    "base": ["model=base"],
    "wide": ["model=wide"],
    "deep": ["model=base", "model.cnn.channels=[8,16,16]", "model.cnn.kernel_size=[5,4,3]"],
    "layer norm": ["model=wide", "model.cnn.norm=layer", "model.cnn.pool=3"],
    "residual": ["model=wide", "model.cnn.residual=true", "model.lstm.num_layers=3"],
    "two ways": ["model=base", "model.lstm.bidirectional=true", "model/stem=linear"],
    "multihead": ["model=wide", "model/attention=multihead", "model.attention.num_queries=3"],
    "queries": ["model=base", "model.attention.num_queries=4"],
    "mean": ["model=base", "model/attention=mean"],
    "last": ["model=base", "model/attention=last"],
    "no cnn": ["model=base", "model/cnn=none"],
    "no lstm": ["model=base", "model/lstm=none"],
    "no attention": ["model=wide", "model/attention=none"],
    "series": ["model=series"],
    "pooled": ["model=series", "model.cnn.max_steps=10", "model.lstm.max_steps=4"],
    "head alone": [
        *("model=wide", "model/cnn=none", "model/lstm=none"),
        *("model/attention=none", "model/skip=none"),
    ],
}


@functools.cache
def cached(name: str) -> Net:
    return net(*MODELS[name]).double().eval()


def net(*overrides: str, channels: int = 3, classes: int = 2) -> Net:
    sizes = [f"data.channels={channels}", f"data.num_classes={classes}", "data.class_counts=null"]
    sizes += ["data.num_steps=40"]
    return build.build_net(recipes.resolve(composed([*overrides, *sizes]))["model"])


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_base_has_the_parameters_of_the_reference() -> None:
    assert count(net("model=base")) == 64_451
    assert count(Reference()) == 64_451


@pytest.mark.parametrize("steps", [4, 8, 52])
@pytest.mark.parametrize("training", [False, True])
def test_base_equals_the_reference(steps: int, training: bool) -> None:
    base, reference = net("model=base").train(training), Reference().train(training)
    reference.load_state_dict(renamed(base.state_dict()))
    x, mask = torch.randn(5, steps, 3), torch.ones(5, steps, dtype=torch.bool)
    torch.manual_seed(1)
    expected = reference(x)
    torch.manual_seed(1)
    torch.testing.assert_close(base(x, mask).prediction, expected, atol=1e-6, rtol=0)


def test_base_starts_as_the_reference_says() -> None:
    base = net("model=base")
    assert torch.all(base.head.linear.bias == 0.01)
    assert base.lstm.dropout.p == 0.3
    for layer in base.lstm.layers:
        assert torch.all(layer.forwards.bias_ih_l0 == 0)
        weight = layer.forwards.weight_hh_l0
        torch.testing.assert_close(weight.T @ weight, torch.eye(64), atol=1e-5, rtol=0)
    bound = (6 / (64 + 64)) ** 0.5
    assert base.attention.hidden.weight.abs().max() <= bound
    assert base.attention.hidden.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=4),
    extra=st.integers(1, 20),
    junk=st.sampled_from([0.0, 1e6, float("nan")]),
)
def test_padding_changes_nothing(name: str, lengths: list[int], extra: int, junk: float) -> None:
    model = cached(name)
    longest = max(lengths)
    x = torch.randn(len(lengths), longest + extra, 3, dtype=torch.float64)
    mask = torch.arange(longest + extra) < torch.tensor(lengths).unsqueeze(1)
    padded = model(x.masked_fill(~mask.unsqueeze(-1), junk), mask)
    for i, n in enumerate(lengths):
        alone = model(x[i : i + 1, :n], mask[i : i + 1, :n])
        torch.testing.assert_close(
            padded.prediction[i], alone.prediction[0], atol=1e-10, rtol=1e-10
        )
        steps = alone.weights.shape[-1]
        torch.testing.assert_close(
            padded.weights[i, :, :steps], alone.weights[0], atol=1e-10, rtol=1e-10
        )
        assert torch.all(padded.weights[i, :, steps:] == 0)


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_no_training_step(name: str) -> None:
    """In training mode too, where batch norm takes its statistics."""
    model = net(*MODELS[name]).double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x = torch.randn(3, 11, 3, dtype=torch.float64)
    mask = torch.ones(3, 11, dtype=torch.bool)
    longer = torch.cat([x, torch.full((3, 6, 3), 7.0, dtype=torch.float64)], dim=1)
    more = torch.cat([mask, torch.zeros(3, 6, dtype=torch.bool)], dim=1)
    gradients = []
    for data, real in ((x, mask), (longer, more)):
        model.zero_grad(set_to_none=True)
        model(data, real).prediction.square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_attention_sums_to_one_over_real_steps(name: str) -> None:
    model = net(*MODELS[name]).eval()
    mask = torch.arange(30) < torch.tensor([30, 1, 17]).unsqueeze(1)
    weights = model(torch.randn(3, 30, 3), mask).weights
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:2]))
    assert torch.all(weights >= 0)


@pytest.mark.parametrize("name", MODELS)
def test_single_precision_padding(name: str) -> None:
    model = net(*MODELS[name]).eval()
    x = torch.randn(2, 40, 3)
    mask = torch.arange(40) < torch.tensor([40, 13]).unsqueeze(1)
    alone = model(x[1:, :13], mask[1:, :13]).prediction[0]
    torch.testing.assert_close(model(x, mask).prediction[1], alone, atol=1e-6, rtol=1e-5)


def test_every_part_can_be_switched_off() -> None:
    for part in ("cnn", "lstm", "attention", "skip", "stem"):
        folder = Path(cli.CONF) / "model" / part
        assert (folder / "none.yaml").is_file()
    assert count(net("model=base", "model/cnn=none")) < 64_451
    assert count(net(*MODELS["head alone"])) == 3 * 2 + 2


def test_skip_reaches_the_head() -> None:
    model = net("model=wide")
    assert model.head.linear.in_features == 64 + model.cnn.out_channels
    x, mask = torch.randn(2, 9, 3), torch.ones(2, 9, dtype=torch.bool)
    queries, _ = model.eval().encode(x, mask)
    torch.testing.assert_close(queries[:, 0, 64:], model.cnn(x, mask)[0].mean(dim=1))


def test_stride_is_the_pooling() -> None:
    assert net("model=base").stride == 4
    assert net("model=wide").stride == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.cnn.channels=[]", "channels"),
        ("model.cnn.kernel_size=[3]", "kernel_size"),
        ("model.cnn.pool=0", "pool=0"),
        ("model.cnn.norm=group", "norm='group'"),
        ("model.cnn.dropout=1.0", "dropout=1.0"),
        ("model.lstm.num_layers=0", "num_layers=0"),
        ("model.lstm.layer_dropout=-0.1", "layer_dropout=-0.1"),
        ("model.attention.num_queries=0", "num_queries=0"),
    ],
)
def test_ranges_are_checked(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        net("model=base", override)


def test_a_section_that_is_no_part_is_refused() -> None:
    with pytest.raises(InputError, match="model.frame is no part of a net: these are normaliz"):
        net("model=base", "+model.frame.norm=none")


def test_heads_must_divide_the_features() -> None:
    with pytest.raises(ValueError, match="num_heads=5 must divide the 64 features"):
        net("model=base", "model/attention=multihead", "model.attention.num_heads=5")
