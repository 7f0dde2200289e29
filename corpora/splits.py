"""Which split a speaker belongs to where a corpus has no official one: a fixed function of the name, whatever else is there."""

from __future__ import annotations

import hashlib


def split_of_speaker(speaker: str, *, val_share: float, test_share: float) -> str:
    """`test`, `val` or `train` by the SHA-256 of the name, so that adding or leaving out speakers moves no other.

    Shares are of a large number of speakers; a handful may all fall into one split.
    """
    position = int.from_bytes(hashlib.sha256(speaker.encode("utf-8")).digest()[:8], "big") / 2**64
    if position < test_share:
        return "test"
    return "val" if position < test_share + val_share else "train"
