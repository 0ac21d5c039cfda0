"""A net by itself, for a training loop of one's own."""

from typing import Any

from omegaconf import OmegaConf

from seqfuse.config.build import build_net
from seqfuse.config.checks.fit import asked, check_fit
from seqfuse.config.compose import compose
from seqfuse.config.recipes import any_sizes, fill, resolve
from seqfuse.nn.net import Net
from seqfuse.runtime.errors import InputError


def build(*words: str, **sizes: Any) -> Net:
    """Builds the net that `seqfuse-train` would train, with its first weights.

        net = seqfuse.build("model=wide", channels=3, num_classes=2)
        scores = net(x).prediction  # of x (b t c), (b k); net(x).weights is the attention (b q t)
        features, weights = net.encode(x)  # (b q d), what the head reads

    A mask (b t), true where a step is real, is the second argument of both; without it, all are.
    The bank (`model/bank`) is fitted to training rows, not trained: it is left out, unless a
    word chooses it.

    Args:
        words: overrides as they would be typed; they choose parts (`model/attention=multihead`),
            their options (`model.lstm.hidden_size=128`), or the data (`data=csv` for a
            forecaster), whose model is then the default.
        sizes: of the data, such as channels, num_classes, num_steps, vocab_size, num_targets or
            horizon. Those that the model needs and that data would tell must be given.
    """
    recipe = compose("train", words)
    for name, value in sizes.items():
        if name not in recipe.data:
            wanted = ", ".join(sorted(asked(recipe.model)))
            raise InputError(f"{name}={value}: no such size; this model needs {wanted}")
        OmegaConf.update(recipe, f"data.{name}", value)
    chosen = [word for word in words if word.startswith(("model/bank=", "model=bank"))]
    if "bank" in recipe.model and not chosen:
        recipe.model.bank = None
    check_fit(recipe)
    # A forecaster reads series of any length; its linear part then has lags of the longest default.
    sizes_asked = asked(recipe.model) - {"look_back"}
    unknown = [name for name in sizes_asked if recipe.data[name] == "auto"]
    if unknown:
        given = ", ".join(f"{name}=..." for name in sorted(unknown))
        raise InputError(f"this model needs sizes that the data would tell: give {given}")
    config = resolve(fill(recipe, any_sizes(recipe)))
    return build_net(config["model"])
