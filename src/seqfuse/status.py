"""seqfuse status says how runs are: which are at work and how far, what ended, what died and why.

Usage: seqfuse status [folder | study] [json=true]

  seqfuse status                              all runs in ./logs
  seqfuse status logs/sweeps/mine             the jobs of a sweep, or a single run
  seqfuse status s3://bucket/logs             runs that were sent to an address (paths.logs)
  seqfuse status sqlite:///study.db           the trials of a search: a journal file, too, or
                                              postgresql://...

  json=true     the same as JSON, with every metric of the last validation

A run whose process is gone, or that left no sign of life for 90 seconds on another machine, was
killed; at an address, where a copy comes with each checkpoint, it is silent. Exit code: 0 all ended
well (completed, or pruned by a search), 3 some are still at work, 4 some ended otherwise (failed,
diverged, out of memory, stopped, killed), 1 a mistake.
"""

import shutil
import sys

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import one_line, say


def main() -> None:
    """The command; `seqfuse status --help` explains it."""
    words = sys.argv[1:]
    if {"--help", "-h"} & {*words}:
        return say((__doc__ or "").rstrip())
    from seqfuse.search import status

    with one_line():
        place, as_json = _named(words)
        rows = [*status.rows(place)]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    say(status.as_json(rows) if as_json else "\n".join(status.table(rows, columns)))
    raise SystemExit(status.exit_code(rows))


def _named(words: list[str]) -> tuple[str, bool]:
    options = {"json=true": True, "json=false": False}
    places = [word for word in words if word not in options]
    if len(places) > 1 or any(word.startswith(("json=", "-")) for word in places):
        raise InputError(
            f"status: {' '.join(places)}: type one folder or study, and json=true if need be"
        )
    return (places or ["logs"])[0], any(options.get(word, False) for word in words)


if __name__ == "__main__":
    main()
