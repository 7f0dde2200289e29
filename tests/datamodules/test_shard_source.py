import asyncio
import io
import os
import pickle
import sys
import time
from pathlib import Path

import fsspec
import pytest
from faulty_server import FaultyServer
from fsspec.asyn import AsyncFileSystem
from made_up_shards import make_shard

from datamodules.errors import ShardError
from datamodules.shard_fetch import RetryRule, fetch
from datamodules.shard_source import PART_BYTES, RefusedError, TransferError, is_remote, make_source

SHARD, CONTENT = make_shard("train 'odd' $(name)-000000.tar")


def _content(root: str, start: int = 0, size: int | None = len(CONTENT), stall_seconds: float = 20.0) -> bytes:
    position, blocks = make_source(root, stall_seconds).read(SHARD.file, start, size)
    return bytes(position) + b"".join(blocks)


@pytest.mark.parametrize("root", ["https://host/a", "http://h", "s3://b/c", "gs://b", "memory://x", "pipe:cat {}"])
def test_addresses_are_told_from_folders(root: str) -> None:
    assert is_remote(root)


@pytest.mark.parametrize("root", ["data/mine", "/data/mine", "C:mine", Path("https://host/a")])
def test_folders_are_told_from_addresses(root) -> None:
    assert not is_remote(root)


def test_an_unknown_scheme_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ShardError, match=r"ftp:// is not known.*s3://.*pipe:"):
        make_source("ftp://host/corpus", 1.0)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_missing_package_names_the_extra(monkeypatch, scheme: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ShardError, match=r"persona-faces\[remote\]"):
        _content(f"{scheme}://bucket/corpus")


def test_an_object_store_is_read_in_parts_from_any_position() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    large = CONTENT * (2 * PART_BYTES // len(CONTENT) + 1)
    with MemoryFileSystem().open(f"/source-test/{SHARD.file}", "wb") as file:
        file.write(large)
    assert _content("memory://source-test", size=None) == large
    assert _content("memory://source-test/", size=len(large)) == large
    position, blocks = make_source("memory://source-test", 1.0).read(SHARD.file, 1000, len(large))
    parts = list(blocks)
    assert (position, b"".join(parts)) == (1000, large[1000:])
    assert len(parts) == 3
    with pytest.raises(TransferError, match="ends after"):
        _content("memory://source-test", size=len(large) + 1)
    with pytest.raises(RefusedError, match="no such file"):
        _content("memory://source-test/nothing", size=None)


class _CloudFiles(AsyncFileSystem):
    """Stands in for s3fs and gcsfs: objects read by a coroutine that takes its time."""

    seconds = 0.0
    cachable = False

    async def _cat_file(self, path, start=None, end=None, **kwargs):
        await asyncio.sleep(self.seconds)
        if not path.endswith(SHARD.file):
            raise PermissionError("Access Denied")
        return CONTENT[start:end]


@pytest.fixture
def cloud(monkeypatch) -> _CloudFiles:
    files = _CloudFiles()
    monkeypatch.setattr(fsspec, "filesystem", lambda scheme: files)
    return files


def test_a_cloud_store_is_read_in_parts_and_whole(cloud: _CloudFiles) -> None:
    assert _content("s3://bucket/corpus") == CONTENT
    assert _content("gs://bucket/corpus", size=None) == CONTENT
    with pytest.raises(RefusedError, match="Access Denied"):
        b"".join(make_source("s3://bucket/corpus", 1.0).read("secret.tar", 0, 10)[1])


def test_a_cloud_store_that_does_not_answer_is_given_up_after_the_stall_time(cloud: _CloudFiles) -> None:
    cloud.seconds = 30.0
    with pytest.raises(TransferError, match="no answer in time"):
        _content("s3://bucket/corpus", stall_seconds=0.2)


def test_names_and_queries_reach_a_web_server_as_they_are() -> None:
    with FaultyServer({}) as server:
        source = make_source(f"{server.url}/corpus?token=a%2Fb", 1.0)
        assert source._url("a b#c.tar") == f"{server.url}/corpus/a%20b%23c.tar?token=a%2Fb"


def test_passwords_and_signatures_stay_out_of_messages() -> None:
    with FaultyServer({}) as server:
        host = server.url.removeprefix("http://")
        source = make_source(f"http://ada:secret@{host}/corpus?signature=secret", 1.0)
        with pytest.raises(ShardError) as caught:
            fetch(source, "manifest.json", io.BytesIO(), expected=None, rule=RetryRule(retries=0))
    assert f"http://{host}/corpus/manifest.json" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_web_source_reads_after_being_pickled() -> None:
    with FaultyServer({"a.tar": CONTENT}) as server:
        source = make_source(server.url, 20.0)
        assert b"".join(source.read("a.tar", 0, None)[1]) == CONTENT
        sent = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own
        assert b"".join(sent.read("a.tar", 0, None)[1]) == CONTENT


def test_a_forked_reader_does_not_disturb_the_connections_of_its_parent() -> None:
    with FaultyServer({"a.tar": CONTENT}) as server:
        source = make_source(server.url, 20.0)
        assert b"".join(source.read("a.tar", 0, None)[1]) == CONTENT
        for _ in range(2):
            child = os.fork()
            if child == 0:
                same = b"".join(source.read("a.tar", 0, None)[1]) == CONTENT
                os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert b"".join(source.read("a.tar", 0, None)[1]) == CONTENT


def test_a_command_gives_the_file_whose_name_it_gets_quoted(tmp_path: Path) -> None:
    (tmp_path / SHARD.file).write_bytes(CONTENT)
    assert _content(f"pipe:cat {tmp_path}/{{}}") == CONTENT
    assert _content(f"pipe: cat {tmp_path}/{{}} | cat", start=500) == CONTENT


def test_a_command_that_fails_says_its_status_and_what_it_said() -> None:
    root = "pipe:echo half of {}; echo no such bucket >&2; exit 3"
    with pytest.raises(TransferError, match="status 3: no such bucket"):
        _content(root)
    with pytest.raises(ShardError, match=r"in 2 attempts.*status 3"):
        fetch(
            make_source(root, 20.0), SHARD.file, io.BytesIO(), expected=SHARD, rule=RetryRule(retries=1, first_delay=0)
        )


def test_a_silent_command_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"no byte for 1 s"):
        _content(f"pipe:(echo $$ > {tmp_path}/pid; sleep 60) | cat; : {{}}", stall_seconds=1.0)
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while _exists(group):
        assert time.monotonic() < deadline, "the command goes on"
        time.sleep(0.02)


def test_a_command_needs_a_place_for_the_name() -> None:
    with pytest.raises(ShardError, match=r"has no \{\} for the file's name"):
        make_source("pipe:cat", 1.0)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
