"""How much of a synthetic person's error can nobody remove? Blinks, gaze and wandering brows are drawn by chance; speech and style do not tell them.

python -m benchmarks.irreducible_error [--data data/people] [--clips 20] [--performances 32]

Each clip of a person is performed again with the same words, voice and planted style, and other chance. The best that a method can say which knows
all but the chance is about the median of such performances (or their mean); its error against the true performance is about the floor under every method's.
Substituting the true lids, gaze or brows for the median's says which of them the floor is made of.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.emotion_transfer import MEASURES, errors
from corpora.performance import motion_for
from corpora.speaker_style import draw_speaker
from corpora.synthetic import CORPUS, CORPUS_VERSION, SyntheticCorpusConfig, plan_clips, speak
from datamodules.shard_index import ShardIndex
from faces import load_face_model
from faces.arkit import ARKIT_INDEX
from faces.motion import FaceMotion
from metrics.intervals import speaker_bootstrap

PARTS = {
    "lids": ("eyeBlink", "eyeWide"),
    "gaze": ("eyeLook",),
    "brows": ("brow",),
}


def corpus_config(made_by: Mapping[str, Any]) -> SyntheticCorpusConfig:
    """What a corpus was made with, as its manifest has it. Raises ValueError for one that cannot be performed again."""
    facts = dict(made_by.get("fingerprint", {}))
    if made_by.get("corpus") != CORPUS or facts.pop("version", None) != CORPUS_VERSION:
        raise ValueError(
            f"only a synthetic corpus of version {CORPUS_VERSION} can be performed again; this is {made_by.get('corpus')!r}, "
            f"{made_by.get('fingerprint')}; make one: python prepare.py synthetic --out FOLDER"
        )
    return SyntheticCorpusConfig(**facts)


def performances(config: SyntheticCorpusConfig, key: str, times: int) -> list[FaceMotion]:
    """The clip as it is in the corpus, and `times` further performances of it with other chance."""
    _, _, person, number = key.split("-")
    speaker = draw_speaker(config.seed, int(person))
    plan = plan_clips(config, int(person))[int(number)]
    utterance = speak(speaker.voice, plan.sentence, plan.emotion, plan.intensity)
    return [
        motion_for(utterance, plan.sentence, speaker.expression, speaker.pose, plan.emotion, plan.intensity, seed)
        for seed in (plan.seed, *((*plan.seed, 6, k) for k in range(times)))
    ]


def guesses(drawn: Sequence[FaceMotion], truth: FaceMotion) -> dict[str, FaceMotion]:
    """What can be said of `truth` from other performances, and the median with parts of the truth."""
    every = np.stack([motion.expression for motion in drawn])
    median = np.median(every, axis=0)
    found = {"another performance": every[0], "their mean": every.mean(axis=0), "their median": median}
    for name, prefixes in PARTS.items():
        columns = [i for coefficient, i in ARKIT_INDEX.items() if coefficient.startswith(prefixes)]
        known = median.copy()
        known[:, columns] = truth.expression[:, columns]
        found[f"their median, true {name}"] = known
    return {name: truth.replace(expression=values.astype(np.float32)) for name, values in found.items()}


def measure(data: str, people: Sequence[str], emotion: str, clips: int, times: int) -> list[dict[str, Any]]:
    """`{"speaker", "key", guess: {measure: mm}}` of the last `clips` clips of each person in an emotion."""
    index, face = ShardIndex(data), load_face_model("procedural")
    config = corpus_config(index.manifest.made_by)
    rows = []
    for person in people:
        own = sorted((e.key, i) for i, e in enumerate(index.entries) if (e.speaker, e.emotion) == (person, emotion))
        if not own:
            raise ValueError(
                f"{data} has no clip of {person!r} in the emotion {emotion!r}; give people and an emotion that it has"
            )
        for key, i in own[-clips:]:
            truth = index.read_motion(i)
            first, *others = (motion[: len(truth)] for motion in performances(config, key, times))
            if not np.array_equal(first.expression, truth.expression):
                raise ValueError(
                    f"{data} was made by other code: {key} performed again is another motion; make it anew"
                )
            scores = {name: errors(motion, truth, face) for name, motion in guesses(others, truth).items()}
            rows.append({"speaker": person, "key": key, **scores})
        print(f"{person}: {len(rows)} clips so far", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/people", help="a synthetic corpus")
    parser.add_argument("--people", nargs="+", default=[f"synthetic-{k:03d}" for k in range(9, 17)])
    parser.add_argument("--emotion", default="neutral")
    parser.add_argument("--clips", type=int, default=20, help="of each person, the last ones")
    parser.add_argument("--performances", type=int, default=32)
    options = parser.parse_args()
    rows = measure(options.data, options.people, options.emotion, options.clips, options.performances)
    speakers = [row["speaker"] for row in rows]
    print(f"SYNTHETIC: {len(rows)} clips of {len(set(speakers))} people; mm, 95 % intervals over people")
    for name in MEASURES:
        for guess in (key for key in rows[0] if key not in ("speaker", "key")):
            found = speaker_bootstrap([row[guess][name] for row in rows], speakers)
            print(f"{name:27s} {guess:26s} {found.mean:.3f} ({found.low:.3f} to {found.high:.3f})")


if __name__ == "__main__":
    main()
