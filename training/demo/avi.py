"""Writes Motion-JPEG in AVI (RIFF, one video stream, `idx1` index), as webcams' recordings come."""

import struct

KEYFRAME = 0x10
HAS_INDEX = 0x10


def chunk(tag, data):
    """A RIFF chunk, padded to an even length."""
    return tag + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def form(tag, kind, *chunks):
    """A LIST or RIFF of chunks."""
    return chunk(tag, kind + b"".join(chunks))


def avi(jpegs, width, height, fps):
    """The file's bytes; `jpegs` are whole JPEG images with their Huffman tables."""
    largest = max(map(len, jpegs))
    main = struct.pack("<14I", round(1e6 / fps), largest * fps, 0, HAS_INDEX, len(jpegs), 0, 1, largest, width, height, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack("<IHHIIIIIIII4h", 0, 0, 0, 0, 1, fps, 0, len(jpegs), largest, 0xFFFFFFFF, 0, 0, 0, width, height)
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    header = form(b"LIST", b"hdrl", chunk(b"avih", main), form(b"LIST", b"strl", chunk(b"strh", stream), chunk(b"strf", picture)))
    index, offset, movie = [], 4, []
    for jpeg in jpegs:
        movie.append(chunk(b"00dc", jpeg))
        index.append(struct.pack("<4sIII", b"00dc", KEYFRAME, offset, len(jpeg)))
        offset += len(movie[-1])
    return form(b"RIFF", b"AVI ", header, form(b"LIST", b"movi", *movie), chunk(b"idx1", b"".join(index)))
