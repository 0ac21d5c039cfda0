"""Learning-rate schedules: rates of steps, and what they refuse."""

import pytest
import torch

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.schedules import Constant, Cosine, OneCycle, Plateau


def sgd(lr: float = 1.0) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(schedule, steps: int) -> list[float]:
    optimizer = sgd()
    scheduler = schedule(optimizer, steps)["scheduler"]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_warms_up_and_ends_at_its_final_share() -> None:
    found = rates(Cosine(warmup=0.2, final=0.1), 50)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1)
    assert found.index(max(found)) in (9, 10)
    assert found[-1] == pytest.approx(0.1, abs=0.01)


def test_one_cycle_peaks_at_the_optimizer_s_rate() -> None:
    found = rates(OneCycle(warmup=0.3, start=0.1), 50)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1, rel=1e-3)
    assert found[-1] < 0.01


def test_constant() -> None:
    assert set(rates(Constant(), 5)) == {1.0}
    assert set(rates(Constant(0.3), 5)) == {0.3}


def test_plateau_waits_and_halves() -> None:
    optimizer = sgd()
    schedule = Plateau(patience=3)(optimizer, 0)
    assert schedule["monitor"] == "val/loss"
    found = []
    for _ in range(6):
        schedule["scheduler"].step(1.0)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 1, 0.5, 0.5]


@pytest.mark.parametrize("schedule", [Cosine(), OneCycle()])
def test_a_schedule_with_an_end_needs_one(schedule) -> None:
    with pytest.raises(InputError, match="set trainer.max_epochs or trainer.max_steps"):
        schedule(sgd(), 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plateau(monitor="val/accuracy"),
        lambda: Plateau(factor=1.0),
        lambda: Plateau(patience=-1),
        lambda: Cosine(warmup=1.0),
        lambda: OneCycle(start=0.0),
    ],
)
def test_schedule_ranges(make) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
