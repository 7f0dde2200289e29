import pytest

from runtime.launch import Nodes, find_nodes, how_to_start, torchrun_arguments
from runtime.run_folder import RunError


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_NODEID", "SLURM_JOB_NODELIST", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


def test_one_node_needs_no_meeting_point() -> None:
    assert find_nodes(1, None, "") == Nodes(1)
    assert "--standalone" in torchrun_arguments(4, Nodes(1), ["train.py", "x"], 60)


def test_several_nodes_are_told_on_the_command_line() -> None:
    assert find_nodes(2, 1, "node0:1234") == Nodes(2, 1, "node0", 1234)
    assert find_nodes(2, 1, "node0") == Nodes(2, 1, "node0", 29500)
    assert find_nodes(2, None, "node0:1234") is None and find_nodes(2, 1, "") is None


def test_slurm_says_the_rest_and_two_jobs_of_a_node_meet_at_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NODEID", "1")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu07,gpu08")
    monkeypatch.setenv("SLURM_JOB_ID", "812345")
    assert find_nodes(2, None, "") == Nodes(2, 1, "gpu07", 22345)
    monkeypatch.setenv("SLURM_JOB_ID", "812346")
    assert find_nodes(2, None, "") == Nodes(2, 1, "gpu07", 22346)


def test_a_compressed_list_of_hosts_is_read_by_scontrol(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$1 $2" = "show hostnames" ] && printf "gpu07\\ngpu08\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_NODEID", "0")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu[07-08]")
    found = find_nodes(2, None, "")
    assert found is not None and found.address == "gpu07"


@pytest.mark.parametrize(("rank", "meeting"), [(2, "node0:1"), (-1, "node0:1"), (0, "node0:port")])
def test_a_place_that_cannot_be_is_refused(rank: int, meeting: str) -> None:
    with pytest.raises(RunError, match=r"expected 0\.\.1 and HOST:PORT"):
        find_nodes(2, rank, meeting)


def test_the_printed_commands_are_one_a_node_and_complete() -> None:
    text = how_to_start(4, 2, ["train.py", "expression_pretraining", "run.label=it's"], 60)
    commands = [line.strip() for line in text.splitlines() if line.startswith("  torchrun")]
    assert len(commands) == 2
    for rank, command in enumerate(commands):
        assert (
            f"--nnodes 2 --node-rank {rank} --master-addr HOST_OF_NODE_0 --master-port 29500 --nproc-per-node 4"
            in command
        )
        assert command.endswith("""train.py expression_pretraining 'run.label=it'"'"'s'""")
