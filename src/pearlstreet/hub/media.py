"""PURE recognition of images and sound by their first bytes; the name of a file is not believed."""

from __future__ import annotations

HEAD_BYTES = 16
"""First bytes of a file that `media_type` needs."""
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
)


def media_type(head: bytes) -> str | None:
    """Return the media type of an image or sound that a browser shows; None for all else, also for SVG, which can hold scripts."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp" and head[8:11] in (b"M4A", b"mp4"):
        return "audio/mp4"
    return next((kind for start, kind in _STARTS if head.startswith(start)), None)
