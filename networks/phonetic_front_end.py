"""Speech as the phonemes that a pretrained encoder hears: a front end that knows speech, without a download."""

from __future__ import annotations

from torch import Tensor, nn

from networks.phonetic_encoder import PhoneticEncoder
from networks.speech_front_end import SpeechFrontEnd


class PhoneticFrontEnd(SpeechFrontEnd):
    """Phoneme probabilities of both halves of a motion frame -> layer norm -> Linear to `width`.

    Probabilities say nothing of voice and room, and explain as much of the mouths of people never seen as the hidden features under them
    (docs/PHONETIC.md).

    Frozen, the encoder stays in evaluation mode, but its clips still get other voices in training; `trainable`, it is fine-tuned with the rest. Its
    weights are part of the state dict either way.
    """

    feature_width = PhoneticEncoder.mel_width
    takes_cached_features = False

    def __init__(self, encoder: PhoneticEncoder, width: int = 128, trainable: bool = False) -> None:
        super().__init__()
        self.width, self.trainable = width, trainable
        self.context = encoder.context
        self.encoder = encoder.requires_grad_(trainable)
        num_probabilities = encoder.classifier.out_features
        self.norm = nn.LayerNorm(num_probabilities)
        self.output = nn.Linear(num_probabilities, width)
        self.train(self.training)

    def train(self, mode: bool = True) -> PhoneticFrontEnd:
        super().train(mode)
        if not self.trainable:
            self.encoder.eval()
            self.encoder.augmentation.train(mode)
        return self

    def extract(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        return self.encoder.mel(audio, num_frames)

    def project(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.output(self.norm(self.encoder.posteriors(features, mask)))


def build_phonetic_front_end(
    encoder: PhoneticEncoder | None = None, width: int = 128, trainable: bool = False, run: str = "", weights: str = ""
) -> PhoneticFrontEnd:
    """The front end `speech=phonetic`. `run` and `weights` are for `runtime.phonetic_part`, which gives the `encoder` that they name.

    Raises ValueError without an encoder.
    """
    if encoder is None:
        raise ValueError(
            f"speech=phonetic (run={run!r}, weights={weights!r}) was built without its encoder; in a notebook give "
            "encoder=networks.phonetic_encoder.load_phonetic_encoder(FILE)"
        )
    return PhoneticFrontEnd(encoder, width, trainable)
