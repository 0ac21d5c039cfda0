"""The reference network in plain torch, without masks: what `model=base` must equal."""

import torch
from torch import Tensor, nn


class Reference(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 2):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv1d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.lstm = nn.LSTM(32, 64, num_layers=2, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.attention = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.cnn(x.transpose(1, 2)).transpose(1, 2))
        states = self.dropout(states)
        weights = torch.softmax(self.attention(states).squeeze(-1), dim=1)
        return self.head((weights.unsqueeze(-1) * states).sum(dim=1))


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of `model=base` under the names of `Reference`."""
    names = {
        "cnn.layers.0.conv": "cnn.0",
        "cnn.layers.1.conv": "cnn.3",
        "attention.hidden": "attention.0",
        "attention.score": "attention.2",
        "head.linear": "head",
    }
    new = {}
    for key, value in state.items():
        for old, name in names.items():
            key = key.replace(f"{old}.", f"{name}.")
        for layer in (0, 1):
            if key.startswith(f"lstm.layers.{layer}.forwards."):
                key = f"lstm.{key.rsplit('.', 1)[1].replace('l0', f'l{layer}')}"
        new[key] = value
    return new
