"""Can a feeling be taken over from somebody else? Errors against a person's true emotional clips, by what the style is made of.

python -m benchmarks.emotion_transfer RUN [--data data/people] [--clips 8]

For clips that a held-out person spoke with a feeling, the same speech is spoken in: the person's neutral style, another person's style in that feeling
(replaced), the person's neutral style with what that other person's feeling adds to their neutral style (`networks.animation.add_feeling`), the same
with a feeling drawn from the others (control), and the style of the person's own clip in that feeling (what no transfer can know).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpora.emotions import EMOTIONS
from faces.motion import FaceMotion
from metrics.intervals import speaker_bootstrap
from metrics.motion_pair import MotionPair
from metrics.registry import METRICS
from networks.animation import Manner, add_feeling, manner_of, speak

METHODS = (
    "own neutral style",
    "other's feeling, replaced",
    "other's feeling, added",
    "another feeling, added",
    "own feeling",
)
MEASURES = ("lip_vertex_error_mm", "upper_face_vertex_error_mm")
FEELINGS = tuple(name for name in EMOTIONS if name != "neutral")


class Feelings:
    """Clips of the test split by person and emotion; draws are a function of the seed."""

    def __init__(self, index: Any, seed: int = 0) -> None:
        self.index, self.rng = index, np.random.default_rng(seed)
        self.by_person: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for i, entry in enumerate(index.entries):
            if entry.split == "test":
                self.by_person[entry.speaker][entry.emotion].append(i)

    def draw(self, person: str, emotion: str, besides: int = -1) -> int | None:
        """A clip of the person in that emotion, another one than `besides`; None where there is none."""
        others = [i for i in self.by_person[person][emotion] if i != besides]
        return int(self.rng.choice(others)) if others else None

    def donor(self, person: str, emotion: str) -> str | None:
        """Somebody else with a clip in that emotion and a neutral one."""
        able = [who for who, of in self.by_person.items() if who != person and of[emotion] and of["neutral"]]
        return str(self.rng.choice(able)) if able else None


def manners(net: Any, clips: Feelings, person: str, emotion: str, spoken: int) -> dict[str, Manner] | None:
    """The manner of each of `METHODS` for one clip, None where the corpus lacks one of the clips that they are made of."""
    donor = clips.donor(person, emotion)
    drawn = str(clips.rng.choice([one for one in FEELINGS if one != emotion]))
    other = clips.donor(person, drawn)
    if donor is None or other is None:
        return None
    wanted = [
        (person, "neutral"),
        (person, emotion),
        (donor, emotion),
        (donor, "neutral"),
        (other, drawn),
        (other, "neutral"),
    ]
    found = [clips.draw(who, how, spoken) for who, how in wanted]
    if None in found:
        return None
    own, felt, theirs, theirs_neutral, another, another_neutral = (
        manner_of(net, clips.index.read_motion(i)) for i in found if i is not None
    )
    added = (add_feeling(own, theirs, theirs_neutral), add_feeling(own, another, another_neutral))
    return dict(zip(METHODS, (own, theirs, *added, felt), strict=True))


def errors(motion: FaceMotion, truth: FaceMotion, face: Any) -> dict[str, float]:
    """`MEASURES` of one clip."""
    ours, theirs = ([torch.from_numpy(part)[None] for part in (m.expression, m.jaw)] for m in (motion, truth))
    pair = MotionPair(face, *ours, *theirs, torch.ones(1, len(truth), dtype=torch.bool))
    return {name: float(METRICS[name].clip_values(pair)) for name in MEASURES}


@torch.no_grad()
def measure(net: Any, face: Any, index: Any, clips_each: int, seed: int = 0) -> list[dict[str, Any]]:
    """`{"speaker", "emotion", method: {measure: value}}` for up to `clips_each` emotional clips of each person of the test split."""
    clips, rows = Feelings(index, seed), []
    for person, by_emotion in sorted(clips.by_person.items()):
        felt = [(emotion, i) for emotion in FEELINGS for i in by_emotion[emotion]]
        for number in clips.rng.permutation(len(felt))[:clips_each]:
            emotion, spoken = felt[number]
            found = manners(net, clips, person, emotion, spoken)
            if found is None:
                continue
            clip = index.read(spoken).clip
            spoken_by = {name: speak(net, clip.audio, manner) for name, manner in found.items()}
            scores = {name: errors(motion, clip.motion, face) for name, motion in spoken_by.items()}
            rows.append({"speaker": person, "emotion": emotion, **scores})
        print(f"{person}: {len(rows)} clips so far", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of expression_pretraining")
    parser.add_argument(
        "--data", default="data/people", help="a corpus with emotions whose test people the run never saw"
    )
    parser.add_argument("--clips", type=int, default=8, help="of each person, at most")
    options = parser.parse_args()
    from datamodules.shard_index import ShardIndex
    from faces import load_face_model
    from runtime.assemble import load_module
    from runtime.run_folder import existing_run

    net = load_module(existing_run(options.run))[0].net.eval()
    rows = measure(net, load_face_model("procedural"), ShardIndex(options.data), options.clips)
    speakers = [row["speaker"] for row in rows]
    print(f"{len(rows)} clips of {len(set(speakers))} people; mm, 95 % intervals over people")
    for name in MEASURES:
        for method in METHODS:
            values = [row[method][name] for row in rows]
            less = [value - row[METHODS[0]][name] for value, row in zip(values, rows, strict=True)]
            mean, change = speaker_bootstrap(values, speakers), speaker_bootstrap(less, speakers)
            print(
                f"{name:27s} {method:26s} {mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"
                f"   against {METHODS[0]} {change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
            )


if __name__ == "__main__":
    main()
