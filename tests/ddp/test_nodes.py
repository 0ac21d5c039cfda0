"""Two nodes train as one process, and go on when one of their ranks is killed."""

from pathlib import Path

import pytest
import torch

from seqfuse.runtime.errors import Interrupted
from seqfuse.train import main, train
from tests.benchmarks import ddp
from tests.conftest import TINY, composed
from tests.ddp.agents import torchrun
from tests.trained import assert_same, checkpoint, weights

pytestmark = pytest.mark.slow
WORDS = [*TINY, "data.batch_size=17", "trust=[tests]", "callbacks.last_checkpoint.every_n_steps=2"]
FAULT = ["+callbacks.fault._target_=tests.ddp.faults.Fault", "+callbacks.fault.once=once"]
WITNESS = "+callbacks.witness._target_=tests.benchmarks.ddp.Witness"


def the_run(folder: Path) -> Path:
    [config] = folder.glob("logs/*/*/config.yaml")
    return config.parent


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks that one process spawned."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train(composed([*WORDS, "test=false", "trainer=ddp_spawn", "trainer.devices=2"]), folder)
    return folder


def test_two_nodes_have_the_losses_of_one_process(tmp_path: Path) -> None:
    words = [*WORDS, "model.lstm.dropout=0.0", WITNESS, "trainer.max_epochs=4"]
    train(composed(words), tmp_path / "one")
    done = torchrun(tmp_path / "two", *words, "trainer=ddp")
    assert done.codes == (0, 0), done
    assert not done.err
    assert done.out.count("parameters") == 1
    one, two = ddp.left(tmp_path / "one"), ddp.left(the_run(tmp_path / "two"))
    assert len(one["losses"]) == 16
    differences = ddp.compared(one, two, 16)
    assert differences["losses"] < 1e-6
    assert differences["metrics"] < 1e-6


def test_a_killed_rank_brings_the_run_back_by_itself(tmp_path: Path, undisturbed: Path) -> None:
    """Bit for bit, with dropout; though torchrun counts the restart on one of the nodes alone."""
    words = [*WORDS, *FAULT, "+callbacks.fault.kind=SIGKILL", "test=false", "trainer=ddp"]
    done = torchrun(tmp_path, *words, name="first", restarts=1)
    assert done.codes == (0, 0), done
    assert (tmp_path / "once").exists()
    [line] = done.err
    assert "another process of this run has gone" in line
    assert "--max-restarts" in line
    run = the_run(tmp_path)
    assert f"resume      {run.relative_to(tmp_path)} goes on" in done.out
    assert checkpoint(run)["global_step"] == 8
    assert_same(weights(run), weights(undisturbed))


def test_a_machine_that_is_taken_away_saves_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: Path
) -> None:
    words = [*WORDS, *FAULT, "+callbacks.fault.kind=notice", "test=false", "trainer=ddp"]
    done = torchrun(tmp_path, *words, name="spot")
    assert 0 not in done.codes
    run = the_run(tmp_path)
    place = run.relative_to(tmp_path)
    assert done.err == [
        f"seqfuse: stopped by SIGTERM; go on with: seqfuse-train resume={place}; so does torchrun "
        "--rdzv-id=spot with this command"
    ]
    assert checkpoint(run)["global_step"] == 4
    done = torchrun(tmp_path, *words, name="spot")
    assert done.codes == (0, 0), done
    assert_same(weights(run), weights(undisturbed))


@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2)])
def test_another_number_of_ranks_goes_on_in_the_right_place(
    before: int, now: int, command, tmp_path: Path
) -> None:
    words = [*WORDS, "model.lstm.dropout=0.0", "optimizer=sgd", "test=false"]
    train(composed(words), tmp_path / "whole")
    fault = [*FAULT[:1], "+callbacks.fault.kind=SIGTERM", "+callbacks.fault.rank=0"]
    ranks = ["trainer=ddp_spawn", f"trainer.devices={before}"]
    with pytest.raises(Interrupted):
        train(composed([*words, *fault, *ranks]), tmp_path / "run")
    assert checkpoint(tmp_path / "run")["global_step"] == 4
    words = ["resume=run", "callbacks.fault=null", f"trainer.devices={now}"]
    code, _, err = command(main, *words)
    assert code == 0, err
    torch.testing.assert_close(
        weights(tmp_path / "run"), weights(tmp_path / "whole"), atol=1e-6, rtol=1e-5
    )
