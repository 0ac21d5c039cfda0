"""Runs `seqfuse-train` in processes of their own, without importing torch anew for each.

`python -m tests.forks` imports what the command does, and forks for each line it reads: a job
as JSON. A job may say when to kill itself, as `kill -9` would: no handler and no `finally`
runs. With `order`, each step adds the rows of its batch to order.txt.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a process ended: minus the signal, or its exit code."""

    code: int
    out: str
    err: str


class Forks:
    """Talks to the process that forks."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process

    def run(self, folder: Path, *words: str, **job: Any) -> Ended:
        """Types `seqfuse-train` with these words in a folder.

        Args:
            folder: where to stand.
            words: of the command line.
            job: `env` (variables), `most` (bytes in a file), and `step`, `moment` and
                `signal` of the kill.
        """
        folder.mkdir(exist_ok=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), "words": words, **job}) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return Ended(code, *((folder / name).read_text() for name in ("out.txt", "err.txt")))


@contextmanager
def forks() -> Iterator[Forks]:
    """Starts and ends the process that forks."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-m", "tests.forks"]
    root = Path(__file__).parents[1]
    # A command that was called in this process has made those it starts look nowhere but there.
    env = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(command, text=True, cwd=root, env=env, **pipes) as process:
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()


def serve() -> None:
    """Forks once for each line, and answers with the exit code."""
    import torch.utils.tensorboard  # noqa: F401

    import seqfuse.callbacks.journal
    import seqfuse.config.runs  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(job)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _import_what_was_needed(Path(job["folder"]) / "modules.txt")
        print(code, flush=True)


def _import_what_was_needed(path: Path) -> None:
    for name in path.read_text().split() if path.is_file() else ():
        with suppress(Exception):
            importlib.import_module(name)


def _become(job: dict[str, Any]) -> None:
    from seqfuse.train import main

    os.chdir(job["folder"])
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(job.get("env", {}))
    sys.argv = ["seqfuse-train", *job["words"]]
    if "most" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["most"], job["most"]))
    _watch(job.get("step"), job.get("moment", "step"), job.get("signal", "SIGKILL"))
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    Path("modules.txt").write_text(" ".join(list(sys.modules)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _watch(kill_at: int | None, moment: str, name: str) -> None:
    """Notes which rows each step saw, and lets the process be killed from a step on."""
    from seqfuse.config import checkpoint
    from seqfuse.runtime import files
    from seqfuse.tasks.base import Task

    train, validate = Task.training_step, Task.validation_step
    write, replace = files.write_beside, os.replace
    now = {"step": -1}

    def kill(at: str, where: bool = True) -> None:
        if at == moment and where and kill_at is not None and now["step"] >= kill_at:
            os.kill(os.getpid(), getattr(signal, name))

    def training_step(self, batch, batch_idx):
        now["step"] = self.trainer.global_step
        rows = " ".join(map(str, batch.index.tolist()))
        with open("order.txt", "a") as file:
            file.write(f"{self.trainer.global_step} {batch_idx}: {rows}\n")
        kill("step")
        return train(self, batch, batch_idx)

    def validation_step(self, *given):
        kill("validation")
        return validate(self, *given)

    def write_beside(path, content):
        if path.suffix == ".ckpt" and moment == "write":
            path.with_name(f"{path.name}.tmp").write_bytes(content[: len(content) // 2])
            kill("write")
        return write(path, content)

    def replace_and_die(source, target):
        replace(source, target)
        kill("replace", Path(target).name == checkpoint.PREVIOUS)
        kill("saved", Path(target).name == checkpoint.LAST)

    Task.training_step, Task.validation_step = training_step, validation_step  # type: ignore
    files.write_beside, checkpoint.os.replace = write_beside, replace_and_die  # type: ignore


if __name__ == "__main__":
    serve()
