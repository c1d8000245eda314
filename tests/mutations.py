"""Files as they come to harm: bits that flip, pieces that are lost, doubled, exchanged or written anew."""

import random


def mutated(whole: bytes, seed: int) -> bytes:
    """Give a file in which one to three things went wrong; never what it was."""
    chance = random.Random(seed)
    damaged = bytearray(whole)
    while bytes(damaged) == whole:
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            _harm(damaged, chance)
    return bytes(damaged)


def _harm(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(content)) if content else 0
    length = chance.choice((1, 1, 2, 4, 30, 300))
    kind = chance.randrange(9)
    piece = content[place : place + length]
    if kind == 0 and piece:
        content[place] ^= 1 << chance.randrange(8)
    elif kind == 1 and piece:
        content[place] = chance.choice(b'0123456789-+.eE"[]{},:ntf \\\x00\xff')
    elif kind == 2:
        del content[place : place + length]
    elif kind == 3:
        content[place:place] = piece
    elif kind == 4:
        del content[place:]
    elif kind == 5 and content:  # two pieces change places
        other = chance.randrange(len(content))
        there = content[other : other + length]
        content[place : place + length], content[other : other + length] = there, piece
    elif kind == 6:
        content[place:place] = chance.choice((b"null", b"-1", b"1e999", b"NaN", b"9" * 40, b"[" * 2000, b'"', b"\xed"))
    elif kind == 7:  # a line is lost or doubled, as by a merge
        lines = bytes(content).split(b"\n")
        line = chance.randrange(len(lines))
        lines[line : line + 1] = chance.choice(([], [lines[line]] * 2))
        content[:] = b"\n".join(lines)
    elif kind == 8:  # a number becomes another
        digits = [at for at, byte in enumerate(content) if byte in b"0123456789"]
        if digits:
            content[chance.choice(digits)] = chance.choice(b"0123456789")
