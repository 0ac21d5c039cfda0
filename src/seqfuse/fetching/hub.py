"""Checkpoints on the Hugging Face Hub: fetched where the user names one, uploaded with a card.

What is uploaded are the weights, as safetensors, and beside them, in the header of that file, what
rebuilds the net and reads data, as JSON: nothing of it is code, and reading it runs none. It is a
checkpoint like any other (see `seqfuse.config.checkpoint`), and held against the same rules.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqfuse.config import checkpoint, untrusted
from seqfuse.config.checks.extras import need
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.addresses import is_address

FILE, CARD = "model.safetensors", "README.md"
KEPT = (*checkpoint.SECTIONS["config"], "name", "seed", "ensemble", "teacher", "paths")
"""Sections of a config that are uploaded; not what says where a run was logged, and how."""
PATHS = {
    *untrusted.READ,
    *untrusted.FOLDERS,
    "cache",
    "data",
    "logs",
    "mirror",
    "run",
    "teacher",
    "vectors",
}
"""Keys of paths, of which only the last part is uploaded."""


def fetch(address: str) -> Path:
    """Path of a checkpoint on the Hub, downloaded unless the Hub's cache on this machine has it.

    Its address is `hf://owner/name`, or `hf://owner/name@revision` (a tag, a branch, a commit).
    """
    need(address, "huggingface_hub", "safetensors")
    from huggingface_hub import HfApi

    name, _, revision = address.removeprefix(checkpoint.HUB).partition("@")
    with _refusals(address):
        return Path(HfApi().hf_hub_download(name, FILE, revision=revision or None))


def push_to_hub(
    ckpt: str | Path, repo: str, public: bool = False, trust: Sequence[str] = ()
) -> str:
    """Uploads a checkpoint as one commit, and returns the address of its repository.

    A repository that is not there is made, and is private unless `public`; a card that is there
    is kept. Optimizer, logs and the paths of this machine stay here.

    Args:
        ckpt: path of a checkpoint.
        repo: `owner/name`.
        public: whether a repository that is made is open to all.
        trust: top-level packages of your own that its config may name.
    """
    need(f"{checkpoint.HUB}{repo}", "huggingface_hub", "safetensors")
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        write(Path(ckpt), repo, Path(folder), trust)
        with _refusals(f"{checkpoint.HUB}{repo}"):
            api = HfApi()
            address = api.create_repo(repo, private=not public, exist_ok=True)
            written = api.file_exists(repo, CARD)  # perhaps by hand
            api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message=f"Add {Path(ckpt).name}",
                ignore_patterns=[CARD] if written else None,
            )
    return str(address)


def write(ckpt: Path, repo: str, folder: Path, trust: Sequence[str] = ()) -> None:
    """Writes the files that are uploaded: `model.safetensors`, and the card."""
    from safetensors.torch import save

    from seqfuse.config import loading  # slow: torch, lightning
    from seqfuse.exporting import card

    task, data, _ = loading.load(ckpt, trust)  # what cannot be built is of no use to others
    content = checkpoint.read(ckpt)
    plain = {key: content[key] for key in ("DataModule", "estimator") if key in content}
    for key in ("config", "recipe"):
        sections = {name: content[key][name] for name in KEPT if name in content[key]}
        sections["callbacks"] = {"figures": sections.get("callbacks", {}).get("figures")}
        plain[key] = _without_places(sections)
    # Members of an ensemble share a bank, which a file of safetensors may not.
    weights = {name: weight.clone() for name, weight in content["state_dict"].items()}
    files.write(folder / FILE, save(weights, {checkpoint.HEADER: _as_json(plain, ckpt)}))
    metadata = {
        "name": str(plain["config"]["data"]["name"]),
        **data.splits.metadata(),
        **task.metadata(),
    }
    files.write(folder / CARD, card.of_hub(metadata, plain["config"], ckpt, repo))


def _without_places(node: Any, key: str = "") -> Any:
    """A config in which a path of this machine is its last part alone."""
    if isinstance(node, Mapping):
        return {name: _without_places(each, name) for name, each in node.items()}
    if isinstance(node, (list, tuple)):
        return [_without_places(each, key) for each in node]
    is_place = isinstance(node, str) and key in PATHS and (os.path.isabs(node) or is_address(node))
    return Path(node).name if is_place else node


def _as_json(content: Mapping[str, Any], ckpt: Path) -> str:
    """Text that is the same content again when it is read."""
    try:
        text = json.dumps(content, ensure_ascii=False)
        if json.loads(text) == content:
            return text
        reason = "some keys are no texts, or some lists are tuples"
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise InputError(f"{ckpt} holds what JSON does not keep ({reason}): it is not uploaded")


@contextmanager
def _refusals(address: str) -> Iterator[None]:
    """Says in one line what the Hub, its client or the network would not do."""
    try:
        yield
    except Exception as error:  # of the network's library, which has changed between releases
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{address}: {reason}: check the name, the network, and that you are logged in "
            "(hf auth login)"
        ) from None
