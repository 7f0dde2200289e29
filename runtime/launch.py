"""Starting all ranks of a run: `train.py` with several devices starts itself under torchrun and keeps the exit code of its ranks.

torchrun alone ends with 1 whatever its ranks ended with; a scheduler that requeues by exit code needs to know that they were preempted.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass

from runtime.exit_codes import PREEMPTED
from runtime.run_folder import RunError

DEFAULT_PORT = 29500


@dataclass(frozen=True)
class Nodes:
    """Where this process stands among the nodes: `rank` of `count`, and the address all of them meet at."""

    count: int
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = DEFAULT_PORT


def is_rank() -> bool:
    """Whether a launcher (torchrun, ours) started this process as one rank of a run."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank_of_task() -> int:
    """This process' rank under torchrun, ours or SLURM's `srun`; 0 where nobody started several. For work of which one process does all."""
    environment = os.environ
    if "RANK" in environment:
        return int(environment["RANK"])
    # Of a batch script itself, and of a job of one task, the number is 0.
    return int(environment.get("SLURM_PROCID") or 0)


def find_nodes(count: int, node_rank: int | None, rendezvous: str) -> Nodes | None:
    """From the command line, else from SLURM's environment (one task a node); None where several nodes are wanted and neither says which this is."""
    if count == 1:
        return Nodes(1)
    environment = os.environ
    if node_rank is None and "SLURM_NODEID" in environment:
        node_rank = int(environment["SLURM_NODEID"])
    if not rendezvous and "SLURM_JOB_NODELIST" in environment:
        rendezvous = (
            f"{_first_host(environment['SLURM_JOB_NODELIST'])}:{_job_port(environment.get('SLURM_JOB_ID', ''))}"
        )
    if node_rank is None or not rendezvous:
        return None
    address, _, port = rendezvous.partition(":")
    if not 0 <= node_rank < count or (port and not port.isdigit()):
        raise RunError(
            f"node rank {node_rank} of {count} nodes, meeting at {rendezvous!r}; expected 0..{count - 1} and HOST:PORT"
        )
    return Nodes(count, node_rank, address, int(port or DEFAULT_PORT))


def torchrun_arguments(devices: int, nodes: Nodes, script: list[str], grace_s: float) -> list[str]:
    """What comes after `torchrun`: ranks, meeting point, seconds for saving after a signal, and the command of a rank."""
    meeting = (
        [
            "--nnodes",
            str(nodes.count),
            "--node-rank",
            str(nodes.rank),
            "--master-addr",
            nodes.address,
            "--master-port",
            str(nodes.port),
        ]
        if nodes.count > 1
        else ["--standalone"]
    )
    return [
        *meeting, "--nproc-per-node", str(devices), "--shutdown-timeout", str(int(grace_s)),
        "--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGUSR1", *script,
    ]  # fmt: skip


def launch(devices: int, nodes: Nodes, script: list[str], grace_s: float) -> int:
    """Run all local ranks to their end; returns the exit code of the rank that ended first with one, 128 + signal where one was killed."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the ranks say themselves how they ended
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    try:
        run(parse_args(torchrun_arguments(devices, nodes, script, grace_s)))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            print(
                f"rank {rank} was killed by {failure.signal_name()}; the same command goes on from the last checkpoint",
                file=sys.stderr,
            )
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException:
        return PREEMPTED
    return 0


def how_to_start(devices: int, count: int, script: list[str], grace_s: float) -> str:
    """The exact commands for several nodes, for people without SLURM."""
    lines = [
        f"this run has {count} nodes of {devices} ranks and this process does not know which node it is on; start, on node 0 to {count - 1}:"
    ]
    for rank in range(count):
        arguments = torchrun_arguments(devices, Nodes(count, rank, "HOST_OF_NODE_0"), script, grace_s)
        lines.append(f"  torchrun {shlex.join(arguments)}")
    lines.append(
        "or the same command with --node-rank N --rendezvous HOST_OF_NODE_0:PORT, which keeps the ranks' exit code; "
        "under SLURM `srun --ntasks-per-node=1 python train.py ...` finds both (docs/RUNNING.md has a batch script)"
    )
    return "\n".join(lines)


def _first_host(nodelist: str) -> str:
    if "[" not in nodelist:
        return nodelist.split(",")[0]
    try:
        listed = subprocess.run(
            ["scontrol", "show", "hostnames", nodelist], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(
            f"cannot read the hosts of {nodelist} with scontrol ({error}); give --rendezvous HOST:PORT"
        ) from error
    return listed.stdout.split()[0]


def _job_port(job: str) -> int:
    """Two jobs on one node must not meet at the same port."""
    return 20000 + int(job) % 10000 if job.isdigit() else DEFAULT_PORT


def this_script(arguments: list[str] | None) -> list[str]:
    """The command of a rank: the script that runs now with the same arguments."""
    return [str(sys.argv[0]), *(sys.argv[1:] if arguments is None else arguments)]
