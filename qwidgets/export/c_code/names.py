"""Names of C made of the names of a network, and text that is safe in a comment or a string of C.

Nothing here knows what is named.
"""

import re


def identifier(text: str) -> str:
    """Give a name of small letters, digits and underscores; never an empty one, never one that begins with a digit.

    Examples
    --------
    >>> identifier("blocks.0.conv1.weight"), identifier("0"), identifier("é")
    ('blocks_0_conv1_weight', 'n_0', 'n')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^0-9a-z]+", "_", snake.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}".rstrip("_")


class Names:
    """Gives out C names that begin alike and of which no two are equal, not even in capitals.

    Parameters
    ----------
    network
        What every name begins with, so that two networks can be linked into one program.

    Examples
    --------
    >>> names = Names("DigitsNet")
    >>> names.of("fc.weight"), names.of("fc_weight"), names.of("fc.weight")
    ('digits_net_fc_weight', 'digits_net_fc_weight_2', 'digits_net_fc_weight_3')
    """

    def __init__(self, network: str) -> None:
        self.prefix = identifier(network)
        self._taken: set[str] = set()

    def of(self, text: str) -> str:
        """Give a new name for something."""
        base = name = f"{self.prefix}_{identifier(text)}"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def comment(text: str) -> str:
    """Give text that cannot end a comment or begin another.

    Examples
    --------
    >>> comment("a*/b")
    'a* /b'
    """
    text = text.replace("…", "...")
    safe = "".join(letter if " " <= letter <= "~" else "." for letter in text).replace("\\", "/")
    return re.sub(r"\?(?=\?)", "? ", re.sub(r"/(?=\*)", "/ ", re.sub(r"\*(?=/)", "* ", safe)))


def string(text: str) -> str:
    r"""Give a string of C.

    Examples
    --------
    >>> print(string('a"b'))
    "a\"b"
    """
    octal = {ord(letter): f"\\{ord(letter):03o}" for letter in '"\\?'} | {ord('"'): '\\"'}
    body = "".join(chr(byte).translate(octal) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in text.encode("utf-8"))
    return f'"{body}"'
