"""seqfuse get fetches public data sets, held against their hashes, and lays them out.

Usage: seqfuse get <name> ... | all

  seqfuse get ett nab        into SEQFUSE_DATA, or else into ./data
  seqfuse get GunPoint       a set of the UCR or UEA archive; ucr and uea are all of them
  seqfuse get all            all that there is (400 MB)

Typed again, it fetches what is still missing. SOURCE.md beside the files has licence and paper.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seqfuse.runtime.shown import one_line, say

if TYPE_CHECKING:
    from seqfuse.fetching.sets import DataSet


def main() -> None:
    """The command; `seqfuse get --help` explains it."""
    words = sys.argv[1:]
    if not words or {"--help", "-h"} & {*words}:
        say((__doc__ or "").rstrip())
        return say("\n" + "\n".join(table()))
    from seqfuse.fetching.sets import chosen

    root = Path(os.environ.get("SEQFUSE_DATA", "data"))
    with one_line():
        sets = {data.name: data for word in words for data in chosen(word)}
        failed = [name for name, data in sets.items() if not _get(data, root, len(sets) > 1)]
    if failed:
        say(f"seqfuse: not fetched, for the reasons above: {', '.join(failed)}", file=sys.stderr)
        raise SystemExit(0 if "all" in words else 1)  # that is all that can be had


def _get(data: "DataSet", root: Path, among_others: bool) -> bool:
    """Fetches a data set; one of several that is not fetched at all is only named."""
    from seqfuse.fetching.download import NOTE, fetch

    if data.by_hand and among_others:
        say(f"not fetched {data.name}: {data.by_hand} ({data.repository})")
        return False
    new = fetch(data, root)
    say(f"{'fetched' if new else 'there':11} {root / data.name} ({data.licence}; {NOTE})")
    return True


def table() -> Iterator[str]:
    """A line for each data set, the UCR archive's in one."""
    from seqfuse.fetching.sets import known

    ucr = [data for name, data in known().items() if name.startswith("ucr/")]
    for name, data in known().items():
        if not name.startswith("ucr/"):
            size = "by hand" if data.by_hand else f"{data.size / 1e6:.1f} MB"
            yield f"  {name:24}{size:>9}  {data.licence}"
    size = sum(data.size for data in ucr) / 1e6
    yield f"  {'ucr':24}{size:6.1f} MB  {len(ucr)} sets: {ucr[0].licence}"


if __name__ == "__main__":
    main()
