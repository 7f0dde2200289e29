"""Whether generated heads carry the person's habit: a classifier of speakers fitted on real clips is asked who moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.intervals import speaker_bootstrap
from networks.code_sampling import NUCLEUS, SAMPLED
from networks.pose_adapter import PoseAdapter
from networks.pose_methods import PoseClip, generated_heads, reconstructed_heads
from networks.pose_speaker import (
    PoseSpeakerClassifier,
    clip_likelihoods,
    fit_speaker_classifier,
    recognised,
    recognised_people,
)
from networks.pose_style_choice import Method
from networks.pose_style_files import PoseStyles
from reports.pose_methods import PoseSplit, chosen_styles

HELD_OUT_SHARE = 0.2


def recognition(net: PoseAdapter, styles: PoseStyles, training: PoseSplit) -> dict[str, Any]:
    """How often the speaker is recognised, over the people that PoseGPT knows, on the last fifth of each person's clips, which the classifier did
    not see: `real` motion, its `reconstruction`, and motion generated for the same speech in the style `retrieved` from the person's other clips,
    (`retrieved_sampled`: from the whole distribution instead of the nucleus), in that person's own learned style (`known_style`), in a `random_style`
    and in the `unknown_style`.

    `{method: {clips: Interval, clips_top_5: Interval, people: share}}`; intervals are over speakers; `people` decides from a
    person's held-out clips together. PoseGPT was trained on these clips.
    """
    names = sorted(set(training.speakers))
    fitted, held_out = split_by_person(training.speakers)
    if not held_out:
        return {}
    labels = [names.index(who) for who in training.speakers]
    classifier = fit_speaker_classifier([training.clips[i].head for i in fitted], [labels[i] for i in fitted])
    first_fitted = {training.speakers[i]: i for i in reversed(fitted)}
    asked = PoseSplit(
        [training.clips[i] for i in held_out],
        [training.metas[i] for i in held_out],
        [training.units[i] for i in held_out],
        # Of the person's first fitted clip: none of them is held out, but for people of few clips.
        [training.references[first_fitted[training.speakers[i]]] for i in held_out],
        [False] * len(held_out),
    )
    # In the order of their names, as PoseGPT's own are; a run by source video knows no people.
    ways: dict[str, Method] = {"retrieved": "retrieved", "random_style": "random", "unknown_style": "unknown"}
    vectors: dict[str, Tensor] = {way: chosen_styles(net, styles, asked, method) for way, method in ways.items()}
    if set(names) <= set(net.style_names):
        own = torch.tensor([net.style_names.index(clip.speaker) for clip in asked.clips])
        vectors["known_style"] = net.gpt.styles.weight[own].detach()
    heads = {"real": asked.heads, "reconstruction": reconstructed_heads(net.vqvae, asked.clips)}
    heads |= {way: generated_heads(net, asked.clips, style, NUCLEUS) for way, style in vectors.items()}
    heads["retrieved_sampled"] = generated_heads(net, asked.clips, vectors["retrieved"], SAMPLED)
    found: dict[str, Any] = {"speakers": len(names), "clips": len(held_out), "chance": 1 / len(names)}
    found |= {way: _accuracy(classifier, of, asked.clips, names) for way, of in heads.items()}
    return found


def split_by_person(speakers: Sequence[str]) -> tuple[list[int], list[int]]:
    """Numbers of the clips to fit on, and of the last fifth of each person's, at least one, of people with three clips or more."""
    fitted: list[int] = []
    held_out: list[int] = []
    for name in sorted(set(speakers)):
        clips = [i for i, who in enumerate(speakers) if who == name]
        kept = len(clips) if len(clips) < 3 else len(clips) - max(1, round(HELD_OUT_SHARE * len(clips)))
        fitted += clips[:kept]
        held_out += clips[kept:]
    return fitted, held_out


def _accuracy(
    classifier: PoseSpeakerClassifier, heads: Sequence[Tensor], clips: Sequence[PoseClip], names: Sequence[str]
) -> dict[str, Any]:
    labels = [names.index(clip.speaker) for clip in clips]
    speakers = [clip.speaker for clip in clips]
    likelihoods = clip_likelihoods(classifier, heads)
    people = recognised_people(likelihoods, labels)
    return {
        "clips": speaker_bootstrap(recognised(likelihoods, labels), speakers)._asdict(),
        "clips_top_5": speaker_bootstrap(recognised(likelihoods, labels, k=5), speakers)._asdict(),
        "people": sum(people) / len(people),
    }
