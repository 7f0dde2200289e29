"""Style vectors that begin with how people hold and move their heads: alike where people are alike, one unit, names in order."""

import pytest
import torch

from networks.pose_representation import HeadRepresentation
from networks.pose_style_start import styles_from_statistics

NAMES = tuple("abcdef")


def representation() -> HeadRepresentation:
    found = HeadRepresentation()
    found.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    return found


def clips(names: tuple[str, ...] = NAMES) -> list[tuple[str, torch.Tensor]]:
    """Four clips each; `a` and `b` hold the head alike, `a` to `c` left, the others right."""
    generator = torch.Generator().manual_seed(0)
    tilt = {"a": -0.30, "b": -0.29, "c": -0.15, "d": 0.1, "e": 0.2, "f": 0.3}
    found = []
    for name in names:
        for _ in range(4):
            walk = 0.01 * torch.randn(120, 3, generator=generator).cumsum(0)
            found.append((name, walk - walk.mean(0) + torch.tensor([0.0, tilt[name], 0.0])))
    return found


def test_people_alike_begin_alike_and_nobody_is_far_from_the_mean() -> None:
    styles = styles_from_statistics(clips(), NAMES, representation(), 8)
    assert styles.shape == (6, 8)
    torch.testing.assert_close(styles.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    assert styles.square().mean() == pytest.approx(1.0, abs=1e-4)
    distances = torch.cdist(styles, styles)
    assert distances[0].argsort()[1] == 1 and distances[0, 1] < 0.5 * distances[0, 5]


def test_the_last_directions_tell_most_and_what_is_wider_than_the_statistics_is_zero() -> None:
    narrow, wide = (styles_from_statistics(clips(), NAMES, representation(), width) for width in (1, 34))
    assert torch.equal(wide[:, 30:], torch.zeros(6, 4))
    variance = wide[:, :30].var(0)
    assert variance.argmax() == 29
    assert torch.corrcoef(torch.stack([narrow[:, 0], wide[:, 29]]))[0, 1] == pytest.approx(1.0, abs=1e-4)


def test_the_order_of_clips_does_not_matter_and_every_name_needs_one() -> None:
    first = styles_from_statistics(clips(), NAMES, representation(), 8)
    turned = styles_from_statistics(reversed(clips()), NAMES, representation(), 8)
    torch.testing.assert_close(torch.cdist(first, first), torch.cdist(turned, turned), atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="f has no clip"):
        styles_from_statistics(clips(NAMES[:5]), NAMES, representation(), 8)
