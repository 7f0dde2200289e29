"""espeak-ng's C interface: text to samples and events, reproducibly.

espeak-ng (GPL-3) is an optional extra: its shared library comes with the `espeakng-loader` package and is loaded at run time. The same
call gives bit-identical samples whatever was spoken before: espeak-ng keeps hidden state between calls (flutter phase, cycle counts,
filters, a random generator seeded by the clock), so every call loads the library afresh and sets its generator.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np

_OUTPUT_RETRIEVAL = 1
_INIT_PHONEME_EVENTS, _INIT_IPA, _INIT_DONT_EXIT = 0x0001, 0x0002, 0x8000
_FLAG_UTF8, _FLAG_SSML = 0x01, 0x10
_EVENT_END, WORD, PHONEME = 0, 1, 7
_PARAMETER_NUMBERS = {"rate_wpm": 1, "volume": 2, "pitch": 3, "pitch_range": 4}
_one_at_a_time = threading.Lock()


class SynthesisError(ValueError):
    """Speech cannot be synthesised; the message says what is missing or which value was wrong."""


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class EspeakEvent:
    """`kind` is `WORD`, `PHONEME` or another of espeak-ng's; `sample` its place in the sound, `char_start` in the markup."""

    kind: int
    sample: int
    char_start: int
    label: str


def _loader() -> ModuleType:
    try:
        import espeakng_loader
    except ImportError as error:
        raise SynthesisError(
            "speech synthesis needs espeak-ng, an optional extra (GPL-3): pip install 'persona-faces[synthesis]'"
        ) from error
    return espeakng_loader


def _open_library(path: str) -> ctypes.CDLL:
    if hasattr(os, "RTLD_NOLOAD"):
        try:
            ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
        except OSError:
            pass
        else:
            raise SynthesisError(
                "espeak-ng is already in use in this process, so its output could not be reproduced; synthesise in another process"
            )
    library = ctypes.CDLL(path)
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    return library


def _close_library(library: ctypes.CDLL) -> None:
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def synthesise(
    markup: str, voice: str, parameters: Mapping[str, int], *, ssml: bool
) -> tuple[np.ndarray, int, list[EspeakEvent]]:
    """Samples int16 [N], their rate and the events of one run of a freshly loaded espeak-ng; safe to call from several threads.

    `parameters`: `rate_wpm`, `volume`, `pitch`, `pitch_range` in espeak-ng's units. Raises `SynthesisError` when the extra is not
    installed or the voice is unknown.
    """
    with _one_at_a_time:
        return _synthesise(markup, voice, parameters, ssml)


def _synthesise(
    markup: str, voice: str, parameters: Mapping[str, int], ssml: bool
) -> tuple[np.ndarray, int, list[EspeakEvent]]:
    loader = _loader()
    library = _open_library(loader.get_library_path())
    chunks: list[np.ndarray] = []
    events: list[EspeakEvent] = []

    def receive(samples: ctypes._Pointer, count: int, event: ctypes._Pointer) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type != _EVENT_END:
            events.append(_read_event(event[index]))
            index += 1
        return 0

    callback = _Callback(receive)
    try:
        options = _INIT_PHONEME_EVENTS | _INIT_IPA | _INIT_DONT_EXIT
        rate = library.espeak_Initialize(_OUTPUT_RETRIEVAL, 0, os.fsencode(loader.get_data_path()), options)
        if rate <= 0:
            raise SynthesisError(
                f"espeak-ng did not start with the data in {loader.get_data_path()}; reinstall espeakng-loader"
            )
        library.espeak_SetSynthCallback(callback)
        library.espeak_ng_SetRandSeed(1)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SynthesisError(
                f"espeak-ng has no voice {voice!r}; choose one of speech.synthesis.VOICES, such as 'en-us+f1'"
            )
        for name, value in parameters.items():
            library.espeak_SetParameter(_PARAMETER_NUMBERS[name], int(value), 0)
        text = markup.encode()
        flags = _FLAG_UTF8 | (_FLAG_SSML if ssml else 0)
        if library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, flags, None, None) != 0:
            raise SynthesisError(f"espeak-ng refused the text {markup!r}")
        library.espeak_Synchronize()
    finally:
        library.espeak_Terminate()
        _close_library(library)
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16), rate, events


def _read_event(event: _Event) -> EspeakEvent:
    label = ""
    if event.type == PHONEME:
        # The name field holds 8 bytes and may cut a letter in two.
        label = bytes(event.id.string).split(b"\0")[0].decode("utf-8", errors="ignore")
    return EspeakEvent(event.type, event.sample, event.text_position - 1, label)
