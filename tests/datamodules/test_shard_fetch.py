import io
import json
import threading
import time

import pytest
from faulty_server import FaultyServer
from made_up_shards import make_shard

from datamodules import shard_fetch
from datamodules.errors import ShardError
from datamodules.shard_fetch import FetchStoppedError, RetryRule, fetch
from datamodules.shard_source import make_source

SHARD, CONTENT = make_shard("train-000000.tar")
QUICK = RetryRule(retries=3, first_delay=0.01)


def _server(**options) -> FaultyServer:
    return FaultyServer({SHARD.file: CONTENT}, **options)


def _fetch(server: FaultyServer, rule: RetryRule = QUICK, stall_seconds: float = 20.0, **options) -> bytes:
    target = io.BytesIO()
    fetch(make_source(server.url, stall_seconds), SHARD.file, target, expected=SHARD, rule=rule, **options)
    return target.getvalue()


def test_a_file_that_nothing_happens_to_arrives_in_one_request() -> None:
    with _server() as server:
        assert _fetch(server) == CONTENT
        assert server.requests[SHARD.file] == 1


@pytest.mark.parametrize("fault", ["drop", "stall", "refuse", "truncate", "wrong", "longer", 503, 429, 500])
@pytest.mark.parametrize("times", [1, 3])
def test_a_file_arrives_whole_although(fault, times: int) -> None:
    with _server() as server:
        server.faults[SHARD.file].extend([fault] * times)
        assert _fetch(server, stall_seconds=0.3 if fault == "stall" else 20.0) == CONTENT
        assert server.requests[SHARD.file] == times + 1


def test_a_broken_transfer_goes_on_where_it_stopped() -> None:
    shard, content = make_shard("large.tar", 4_000_000)
    target = io.BytesIO()
    with FaultyServer({shard.file: content}) as server:
        server.faults[shard.file].extend(["drop", "drop"])
        fetch(make_source(server.url, 20.0), shard.file, target, expected=shard, rule=QUICK)
        assert server.ranges[shard.file] == [0, len(content) // 2, len(content) * 3 // 4]
        assert server.bytes_sent[shard.file] == len(content)
    assert target.getvalue() == content


def test_a_server_that_ignores_ranges_sends_it_anew() -> None:
    with _server(ranges=False) as server:
        server.faults[SHARD.file].extend(["drop", "drop"])
        assert _fetch(server) == CONTENT


def test_what_was_damaged_is_not_built_upon() -> None:
    with _server() as server:
        server.faults[SHARD.file].extend(["wrong", "drop"])
        assert _fetch(server) == CONTENT
        assert server.ranges[SHARD.file][:2] == [0, 0]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (503, "HTTP 503"),
        ("refuse", "closed connection"),
        ("truncate", "of 100000 bytes"),
        ("wrong", "sha256"),
        ("longer", "more came"),
        ("stall", "imeout"),
    ],
)
def test_the_last_failure_names_address_cause_and_what_to_do(fault, cause: str) -> None:
    with _server() as server:
        server.always[SHARD.file] = fault
        with pytest.raises(ShardError) as caught:
            _fetch(server, RetryRule(retries=1, first_delay=0.01), stall_seconds=0.2 if fault == "stall" else 20.0)
        assert server.requests[SHARD.file] == 2
        message = str(caught.value)
        assert f"{server.url}/{SHARD.file}" in message
        assert "in 2 attempts" in message
        assert cause in message
        assert "run the same command again" in message


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_refused_is_not_asked_for_again(status: int) -> None:
    with _server() as server:
        server.always[SHARD.file] = status
        with pytest.raises(ShardError, match=r"check data\.root"):
            _fetch(server)
        assert server.requests[SHARD.file] == 1


def test_nobody_at_the_address_is_an_error_after_the_last_attempt() -> None:
    with _server() as server:
        address = server.url
    with pytest.raises(ShardError, match="in 2 attempts"):
        fetch(
            make_source(address, 1.0),
            SHARD.file,
            io.BytesIO(),
            expected=SHARD,
            rule=RetryRule(retries=1, first_delay=0.01),
        )


def test_attempts_that_bring_much_are_no_failures(monkeypatch) -> None:
    monkeypatch.setattr(shard_fetch, "WORTHWHILE_BYTES", 5_000)
    with _server() as server:
        server.faults[SHARD.file].extend(["drop"] * 4)
        assert _fetch(server, RetryRule(retries=1, first_delay=0.01)) == CONTENT


def test_a_manifest_has_to_be_whole_json() -> None:
    manifest = json.dumps({"shards": list(range(1000))}).encode()
    target = io.BytesIO()
    with FaultyServer({"manifest.json": manifest}) as server:
        server.faults["manifest.json"].extend(["truncate", "drop"])
        fetch(make_source(server.url, 1.0), "manifest.json", target, expected=None, rule=QUICK)
        assert server.ranges["manifest.json"] == [0, 0, 0]
    assert target.getvalue() == manifest


def test_waits_grow_up_to_a_limit_and_are_functions_of_seed_rank_and_file() -> None:
    rule = RetryRule(retries=8, first_delay=1.0, longest_delay=10.0, seed=3)
    delays = rule.delays("a.tar")
    assert delays == rule.delays("a.tar")
    assert delays != RetryRule(retries=8, first_delay=1.0, longest_delay=10.0, seed=3, rank=1).delays("a.tar")
    assert delays != rule.delays("b.tar")
    for number, delay in enumerate(delays):
        longest = min(10.0, 2.0**number)
        assert longest / 2 <= delay <= longest


def test_a_fetch_that_nobody_waits_for_stops() -> None:
    stop = threading.Event()
    with _server() as server:
        server.always[SHARD.file] = 503
        threading.Timer(0.1, stop.set).start()
        begin = time.monotonic()
        with pytest.raises(FetchStoppedError):
            _fetch(server, RetryRule(retries=3, first_delay=100.0, longest_delay=100.0), stop=stop)
        assert time.monotonic() - begin < 30, "it waited for the next attempt"
