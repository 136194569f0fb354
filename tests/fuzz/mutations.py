"""Damage to bytes, the same for the same seed."""

import random

EXTREME = (b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 3, b"\xff\xff\xff\x7f",
           b"\xff" * 9 + b"\x01", b"999999999", b"-1", b"1e400", b"nan", b"\0", b"[" * 200,
           b"{" * 50, b"'", b'"', b"\\")


def mutated(content: bytes, seed: int) -> bytes:
    """`content` with one to three mutations."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice((flip, flip, cut, drop, insert, splice, enlarge, overwrite))(
            bytearray(content), rng)
    return bytes(content)


def _place(content: bytearray, rng: random.Random) -> int:
    """Headers stand at the beginning: every second place is there."""
    return rng.randrange(min(len(content), 512) if rng.random() < 0.5 else len(content)) \
        if content else 0


def flip(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 4, 16)) if content else 0):
        content[_place(content, rng)] ^= 1 << rng.randrange(8)
    return content


def cut(content: bytearray, rng: random.Random) -> bytearray:
    return content[:_place(content, rng)]


def drop(content: bytearray, rng: random.Random) -> bytearray:
    begin = _place(content, rng)
    del content[begin:begin + rng.choice((1, 4, 64))]
    return content


def insert(content: bytearray, rng: random.Random) -> bytearray:
    begin = _place(content, rng)
    content[begin:begin] = rng.choice((rng.randbytes(rng.choice((1, 4, 64))), *EXTREME))
    return content


def splice(content: bytearray, rng: random.Random) -> bytearray:
    begin, other = _place(content, rng), _place(content, rng)
    length = rng.choice((4, 32, 256))
    content[begin:begin + length] = content[other:other + length]
    return content


def enlarge(content: bytearray, rng: random.Random) -> bytearray:
    """Some digits become many; where there are none, bytes become extreme."""
    places = [i for i, byte in enumerate(content) if 0x30 <= byte <= 0x39]
    if not places:
        return overwrite(content, rng)
    place = rng.choice(places)
    content[place:place + 1] = rng.choice((b"999999999", b"3000", b"-7", b"1e30", b"4294967296",
                                           b"99999999999999999999"))
    return content


def overwrite(content: bytearray, rng: random.Random) -> bytearray:
    begin, value = _place(content, rng), rng.choice(EXTREME)
    content[begin:begin + len(value)] = value
    return content
