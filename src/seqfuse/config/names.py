"""Names of runs, made of what was overridden."""

import re
from collections.abc import Sequence

SILENT = (
    *("hydra", "paths", "trial", "trust", "logger", "callbacks", "launcher", "resume", "name"),
    *("label", "test", "debug", "find_lr", "find_batch_size", "find_precision"),
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.num_threads"),
    *("trainer.strategy", "trainer.enable_progress_bar", "trainer.log_every_n_steps"),
)
"""Keys, and sections, that say nothing of what is trained."""
LONGEST = 100
"""Letters of a label."""
QUOTES = "\"'"


def label(overrides: Sequence[str]) -> str | None:
    """Overrides of a run, as `lr=0.01,seed=1`: last parts of keys, without paths' folders.

    None where nothing was given that counts.
    """
    parts: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        whole = re.sub(r"[/@]", ".", key.lstrip("~"))
        if not any(f"{whole}.".startswith(f"{silent}.") for silent in SILENT):
            parts.pop(whole, None)  # the later of two counts, and the last are the most telling
            parts[whole] = f"{whole.rpartition('.')[2]}={value.strip(QUOTES).rpartition('/')[2]}"
    return re.sub(r"[^\w.=,+-]", "_", ",".join(parts.values()))[-LONGEST:].strip(".,") or None


def with_name(words: Sequence[str]) -> list[str]:
    """Words of a command, with a name that says which task and whose weights, unless it has one.

    Other tasks on the same data, and nets that begin with another's weights, so get a folder of
    their own.
    """
    given = {key: value for key, _, value in (word.partition("=") for word in words)}
    named = {"name", "experiment", "debug", "resume", "-cd", "-cn", "--config-dir", "--config-name"}
    task = given.get("task", "")
    parts = [task] if re.fullmatch(r"\w+", task) else []
    parts += ["init_from"] if given.get("init_from", "null") != "null" else []
    if named & {*given} or not parts:
        return list(words)
    return [*words, f"name=${{data.name}}_{'_'.join(parts)}"]
