"""Names that hls4ml takes for layers and inputs, and does not take for anything else.

hls4ml writes the inputs' names into C++ beside its own, and tells some operations of PyTorch by a part of a name.
"""

import re
from collections.abc import Container

_WORDS = {
    *("alignas", "alignof", "asm", "auto", "bitand", "bitor", "bool", "case", "catch", "char", "compl", "concept"),
    *("decltype", "default", "delete", "do", "double", "enum", "explicit", "export", "extern", "float", "friend"),
    *("goto", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "nullptr", "operator", "private"),
    *("protected", "public", "register", "requires", "short", "signed", "sizeof", "static", "struct", "switch"),
    *("template", "this", "throw", "typedef", "typeid", "typename", "union", "unsigned", "using", "virtual", "void"),
    *("volatile", "xor", "EOF", "NULL", "main", "myproject", "nnet", "std", "hls"),
}
_OWN = re.compile(r".*_(t|ap|cast|eq)|(w|b|s|a|d|p|z|e|wr|br|config)[0-9]+|layer[0-9]+.*")
"""Types, constants and tensors of the C++ that is made, which are numbered as layers are."""


def layer_name(path: str) -> str:
    """Give a layer's name: its path, with ``_`` for whatever C++ has not in a name.

    Examples
    --------
    >>> layer_name("blocks.0.conv"), layer_name("0"), layer_name("a b*/"), layer_name("getitem")
    ('blocks_0_conv', '_0', 'a_b__', 'get_item')
    """
    name = re.sub(r"[^0-9A-Za-z_]", "_", path).replace("getitem", "get_item")
    return name if name and not name[0].isdigit() else f"_{name}"


def input_name(name: str, taken: Container[str]) -> str:
    """Give an input's name, which is a variable there, and one that is not taken yet.

    Examples
    --------
    >>> input_name("x", []), input_name("x", ["x"]), input_name("double", []), input_name("const", [])
    ('x', 'x_1', 'double_in', 'kept_in')
    """
    base = layer_name(name).replace("const", "kept")
    if base != name or base in _WORDS or _OWN.fullmatch(base):
        base = f"{base}_in"
    free, number = base, 0
    while free in taken:
        number += 1
        free = f"{base}_{number}"
    return free
