"""Every benchmark in one table: `make benchmark`, or `python -m benchmarks.run`."""

from __future__ import annotations

from benchmarks.table import print_rows


def main() -> None:
    from benchmarks import (
        network_speed,
        pose_speed,
        remote_shards,
        scoring_speed,
        shard_reading,
        video_speed,
        weight_adapter_cost,
    )

    found = []
    for module in (
        shard_reading,
        remote_shards,
        network_speed,
        weight_adapter_cost,
        pose_speed,
        video_speed,
        scoring_speed,
    ):
        found += module.rows()
    print_rows(found)


if __name__ == "__main__":
    main()
