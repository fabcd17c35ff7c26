"""What lies where on a chip, read as docs/storage-format.md has it and not as the firmware does."""

import struct
from binascii import crc32

HEADER = 32
ACK = 7  # the kind of an acknowledgement
NUMBERED = 8  # and above


def headers(image, sector):
    """The places of sectors that have a valid header, oldest first: [(generation, place)]."""
    found = []
    for place in range(len(image) // sector):
        header = image[place * sector : place * sector + HEADER]
        if header[:2] == b"mA" and crc32(header[:28]) == struct.unpack_from("<I", header, 28)[0]:
            found.append((struct.unpack_from("<I", header, 4)[0], place))
    return sorted(found)


def records(image, sector, unit, place):
    """The records of a sector: [(address, bytes with padding, kind, payload)]."""
    found = []
    at, end = place * sector + HEADER, (place + 1) * sector
    while at + 5 <= end and image[at : at + 2] != b"\xff\xff":
        (head,) = struct.unpack_from("<H", image, at)
        length = head & 0xFFF
        size = -(-(length + 5) // unit) * unit
        if at + size > end:
            break
        found.append((at, size, head >> 12, bytes(image[at + 2 : at + 2 + length])))
        at += size
    return found
