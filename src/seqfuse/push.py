"""seqfuse push uploads a checkpoint to the Hugging Face Hub, with a card that says what it is.

Usage: seqfuse push <checkpoint> <owner>/<name> [public] [trust=mylab]

  seqfuse push logs/<name>/<time>/checkpoints/best.ckpt me/vowels
  seqfuse predict ckpt=hf://me/vowels input=new.npz output=classes.csv

A repository that is not there is made: a private one, unless `public` is typed; a card that is
there is kept. Uploaded are weights (safetensors), config and what was fitted on training rows, such
as the names of classes and the words of a vocabulary (JSON): no rows, no optimizer, no paths of
this machine. Log in first: hf auth login.
"""

import sys
from pathlib import Path

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import one_line, say


def main() -> None:
    """The command; `seqfuse push --help` explains it."""
    words = sys.argv[1:]
    if not words or {"--help", "-h"} & {*words}:
        return say((__doc__ or "").rstrip())
    trusting = [word for word in words if word.startswith("trust=")]
    names = [word for word in words if word not in ("public", *trusting)]
    trust = [name for word in trusting for name in word[6:].strip("[]").split(",")]
    with one_line():
        if len(names) != 2:
            raise InputError("push takes a checkpoint and owner/name: seqfuse push --help")
        from seqfuse.fetching.hub import push_to_hub

        ckpt, repo = names
        say(f"uploaded    {push_to_hub(Path(ckpt), repo, 'public' in words, trust)}")


if __name__ == "__main__":
    main()
