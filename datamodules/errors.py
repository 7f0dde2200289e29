"""The errors of this room."""

from __future__ import annotations


class ShardError(ValueError):
    """A corpus folder, shard or manifest cannot be written or used; the message names it and says what to do."""


class SampleError(ShardError):
    """One sample of a shard cannot be used; the message names the shard, the key and the member."""
