"""Initialisation schemes: functions of a net, applied once when it is made."""

from torch import nn


def reference(net: nn.Module, linear_bias: float = 0.01) -> None:
    """Xavier-uniform linear layers, orthogonal LSTM weights with bias 0.

    Sources: Glorot & Bengio 2010; Saxe et al. 2014. Convolutions keep torch's own.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.constant_(module.bias, linear_bias)
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("weight"):
                    nn.init.orthogonal_(parameter)
                else:
                    nn.init.zeros_(parameter)
