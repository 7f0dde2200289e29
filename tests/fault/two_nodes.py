"""Two "nodes" on one machine: network namespaces joined by a cable that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from run_processes import Training

_numbers = count()
INTERFACE = "cable"


def can_make_namespaces() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"pf-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], check=False)
    return made


class TwoNodes:
    """`command(rank)` runs below one node; node 0 is reached at `address`."""

    def __init__(self, names: tuple[str, str], subnet: str) -> None:
        self.names, self.address = names, f"{subnet}.1"

    def command(self, rank: int) -> list[str]:
        return ["ip", "netns", "exec", self.names[rank]]

    def cut(self) -> None:
        ip("-n", self.names[0], "link", "set", INTERFACE, "down")

    def mend(self) -> None:
        ip("-n", self.names[0], "link", "set", INTERFACE, "up")


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    number = next(_numbers)
    names = (f"pf-{os.getpid()}-{number}-a", f"pf-{os.getpid()}-{number}-b")
    subnet = f"10.213.{number % 250}"
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", INTERFACE, "netns", names[0], "type", "veth", "peer", "name", INTERFACE, "netns", names[1])
        for host, name in enumerate(names, start=1):
            ip("-n", name, "addr", "add", f"{subnet}.{host}/24", "dev", INTERFACE)
            ip("-n", name, "link", "set", INTERFACE, "up")
        yield TwoNodes(names, subnet)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class TrainingOnTwoNodes:
    """One run on both nodes, started as a person does: the same command on each, with its node rank and the meeting point."""

    def __init__(
        self,
        nodes: TwoNodes,
        folder: Path,
        overrides: list[str],
        ranks_per_node: int = 1,
        timeout_s: int = 8,
        experiment: str = "expression_pretraining",
    ) -> None:
        self.nodes, self.folder = nodes, folder
        settings = [
            f"trainer.devices={ranks_per_node}",
            "trainer.num_nodes=2",
            f"trainer.collective_timeout_s={timeout_s}",
            "trainer.grace_s=15",
        ]
        self.starts = [
            Training(
                folder,
                [*overrides, *settings],
                prefix=nodes.command(rank),
                options=["--node-rank", str(rank), "--rendezvous", f"{nodes.address}:29500"],
                environment={"GLOO_SOCKET_IFNAME": INTERFACE},
                experiment=experiment,
            )
            for rank in (0, 1)
        ]

    def wait_for_step(self, step: int, deadline_s: float = 120) -> None:
        try:
            self.starts[0].wait_for_step(step, deadline_s)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\nthe other node:\n{self.starts[1].output()}") from None

    def end(self, deadline_s: float = 120) -> list[int]:
        try:
            return [training.end(deadline_s) for training in self.starts]
        finally:
            self.stop()

    def stop(self) -> None:
        for training in self.starts:
            training.stop()

    def output(self) -> str:
        return "\n---- the other node\n".join(training.output() for training in self.starts)


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
