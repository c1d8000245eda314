"""Parameters whose names cannot stand in Python code, under names that can.

``torch.fx`` writes the path of each parameter into the code that it makes of a graph, and a module may be called
``class``, or have a quotation mark in its name. In the graph its parameters get another name; `folding` keeps which one
each is, so that rows bear the names that the user knows.
"""

import keyword
import re

from torch.export import ExportedProgram


def rename(program: ExportedProgram) -> dict[str, str]:
    """Rename what code cannot name, and give for each new name the one that it had."""
    taken = {str(spec.target) for spec in program.graph_signature.input_specs}
    renamed: dict[str, str] = {}
    for spec in program.graph_signature.input_specs:
        name = spec.target
        if name is None or all(map(_can_stand_in_code, name.split("."))):
            continue
        spoken = re.sub(r"\W", "_", name.replace(".", "_dot_")) + "_"
        while spoken in taken:
            spoken += "_"
        taken.add(spoken)
        renamed[spoken] = name
        spec.target = spoken
        for tensors in (program.state_dict, program.constants):
            if name in tensors:
                tensors[spoken] = tensors.pop(name)
    return renamed


def _can_stand_in_code(part: str) -> bool:
    return not keyword.iskeyword(part) and (part.isidentifier() or re.fullmatch(r"[\w\- :/+@#]*", part) is not None)
