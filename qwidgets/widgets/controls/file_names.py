"""Names of files that are suggested to a person, made of a network's name, which may be somebody else's."""

import re

LONGEST = 60


def file_name(network: str) -> str:
    """Give a name that every file system takes, of a file in the current folder.

    Examples
    --------
    >>> file_name("MobileNetV2"), file_name("../../etc/<b>"), file_name("...")
    ('MobileNetV2', 'etc_b', 'network')
    """
    return re.sub(r"[^\w.-]+", "_", network, flags=re.ASCII).strip("._-")[:LONGEST] or "network"
