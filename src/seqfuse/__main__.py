"""seqfuse: sequence models from the command line.

Usage: seqfuse <command> [words of that command]

  train      trains, tests and records a model
  evaluate   measures a checkpoint on a split
  predict    predicts a file with a checkpoint
  explain    says what each step and channel contributes to a prediction
  export     writes a checkpoint as a folder that runs without torch
  status     says which runs are at work and how far, what ended, what died and why
  push       uploads a checkpoint to the Hugging Face Hub, with a card
  new        makes a project of your own, which depends on seqfuse
  get        fetches public data sets, with licence and paper beside them
  sample     writes a small data set for a job, and says what to type with it
  list       lists data sets, models, tasks, experiments, parts
  doctor     says what is installed, which devices there are, where data is looked for

`seqfuse <command> --help` says more; `seqfuse-train` and the like are the same commands.
"""

import difflib
import runpy
import sys
from importlib import import_module
from pathlib import Path

from seqfuse.runtime.shown import say, stop_saying

COMMANDS = (
    *("train", "evaluate", "predict", "explain", "export", "status", "push"),
    *("new", "get", "sample", "list", "doctor"),
)


def main() -> None:
    """The command; hands over to the one that is named."""
    try:
        if name := named():
            import_module(f"seqfuse.{name}").main()
    except BrokenPipeError:
        stop_saying()


def named() -> str:
    """The command that the first word names, the others left for it; empty if all is said."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "help"):
        say((__doc__ or "").rstrip())
        return ""
    if name == "--version":
        say(f"seqfuse {import_module('seqfuse').__version__}")
        return ""
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        say(f"seqfuse: {name}: no such command: {hint}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv[:] = [str(Path(sys.argv[0]).with_name(f"seqfuse-{name}")), *words]
    return name


if __name__ == "__main__":
    if name := named():  # as python -m seqfuse.train, which is how further ranks are started
        runpy.run_module(f"seqfuse.{name}", run_name="__main__", alter_sys=True)
