"""Ray, of which clusters are found and jobs waited for (checked: 2.60.0)."""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from seqfuse.runtime.errors import InputError

KEY = "hydra.launcher.address"
SILENCE = 10.0
"""Seconds that a cluster's head may take to answer; Ray itself would wait for minutes."""
AGAIN = 10
"""Times that a job is begun again at most."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
"""Ray sends nothing to its makers, and shows each line of each job."""


def _ray() -> Any:
    return import_module("ray")


def is_ray(launcher: Mapping[str, Any]) -> bool:
    """Whether Ray runs the jobs; by the node of a launcher."""
    return str(launcher.get("_target_")).endswith(".seqfuse_ray.RayLauncher")


def connect(address: str) -> None:
    """Connects this process to a cluster, or starts Ray on this machine, once."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray = _ray()
    if ray.is_initialized():
        return
    place = _found(address)
    alone = {"include_dashboard": False} if place == "local" else {}
    # Ray lets all workers import from the current folder, whatever lies there.
    with contextlib.chdir(sys.prefix), _hushed():
        try:
            ray.init(place, logging_level="ERROR", configure_logging=True, **alone)
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise _refusal(address, str(error) or type(error).__name__) from None


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Without what Ray's C++ writes to stderr itself: a line for each try to reach a cluster."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _found(address: str) -> str:
    """The one cluster that an address stands for; `local` for a new one."""
    if not isinstance(address, str) or address == "local":
        return "local"
    if address == "auto" and not (address := os.environ.get("RAY_ADDRESS", "")):
        services: Any = import_module("ray._private.services")
        clusters = sorted(services.find_gcs_addresses())
        if len(clusters) > 1:
            raise InputError(
                f"{KEY}=auto: this machine is a node of {len(clusters)} clusters: name the head of "
                f"one ({KEY}={clusters[0]}), or stop the others (ray stop)"
            )
        if not clusters:
            raise _refusal("auto", "none runs on this machine")
        return "auto"  # or it would not use the token of this machine
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError(f"{KEY}={address}: expected local, auto or host:port, as in head:6379")
    try:
        socket.create_connection((host, int(port)), SILENCE).close()
    except (OSError, OverflowError) as error:
        raise _refusal(address, str(error)) from None
    return address


def _refusal(address: str, reason: str) -> InputError:
    return InputError(
        f"{KEY}={address}: no cluster can be used there ({' '.join(reason.split())[:200]}): type "
        f"ray start --head on one machine and ray start --address on the others, or {KEY}=local; "
        "a cluster that asks for a token has it from RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token"
    )


def check_room(address: str, num_cpus: float, num_gpus: float) -> None:
    """Checks that a job fits into the cluster, or it would wait for ever."""
    ray = _ray()
    for name, wanted in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
        kind = name.removeprefix("num_")[:-1].upper()
        nodes = [node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]]
        if wanted > max(nodes, default=0):
            raise InputError(
                f"hydra.launcher.{name}={wanted}: no node of {KEY}={address} has so many: "
                f"the largest has {max(nodes, default=0):g}"
            )


def side_by_side(launcher: Mapping[str, Any]) -> int:
    """Jobs that the cluster runs at a time, with the cores and GPUs that it has now."""
    has = _ray().cluster_resources()
    wanted = {"CPU": launcher.get("num_cpus"), "GPU": launcher.get("num_gpus")}
    return max(1, int(min(has.get(kind, 0) / each for kind, each in wanted.items() if each)))


def run_all(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], num_cpus: float, num_gpus: float
) -> list[Any]:
    """Return values of all jobs, in order, when all have ended; `jobs` are the arguments of each.

    A job whose node is taken away is begun again, on whatever node has room for it. `work` takes
    how often a job was begun before, too, and returns None if it was asked to end (SIGTERM) and
    has saved. Raises InputError if the process of one was lost, or its node for the last time.
    """
    ray = _ray()
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(work)
    taken_away = (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError)
    begun, returns, lost = [0] * len(jobs), {}, []
    running = {task.remote(0, *job): number for number, job in enumerate(jobs)}
    try:
        while running:
            [ended], _ = ray.wait([*running])
            number = running.pop(ended)
            reason: Any = "it was asked to end, again and again (SIGTERM)"
            try:
                returns[number] = ray.get(ended)
            except taken_away as error:
                returns[number], reason = None, error
            except ray.exceptions.RayError as error:
                lost.append(error)
                continue
            if returns[number] is not None:
                continue
            begun[number] += 1
            if begun[number] > AGAIN:
                lost.append(reason)
            else:
                running[task.remote(begun[number], *jobs[number])] = number
    except BaseException:  # Ctrl-C, which reaches this process alone
        for each in running:
            ray.cancel(each)
        ray.wait([*running], num_returns=len(running), timeout=SILENCE)
        raise
    if lost:
        reason = str(lost[0]).strip().partition("\n")[0]
        raise InputError(
            f"launcher=ray: a worker was killed, or its node went away "
            f"({type(lost[0]).__name__}: {reason[:200]}): if it was its memory, take more cores "
            "for each job (hydra.launcher.num_cpus)"
        )
    return [returns[number] for number in range(len(jobs))]
