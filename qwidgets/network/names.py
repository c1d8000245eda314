"""What the layers, operations and parameters of a captured graph are called.

A name is the path of the user's module; where an operation has no module of its own, the path of the module that calls
it and the operation: ``layer1.0.conv1``, ``layer1.0.add``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from torch.fx import Node

from qwidgets.network import operations
from qwidgets.network.folding import parameters_behind
from qwidgets.network.fusion import Group


class Names:
    """Gives each layer, operation and parameter of a graph the name that its user knows it by.

    Parameters
    ----------
    leaves
        The paths of the modules that have no submodules.
    aliases
        For each parameter or buffer, all the names that the model has for the same tensor, its own included.
    groups
        What has a row of its own, in the order in which it runs.
    """

    def __init__(self, leaves: frozenset[str], aliases: Mapping[str, tuple[str, ...]], groups: Iterable[Group]) -> None:
        self._leaves = leaves
        self._aliases = aliases
        groups = list(groups)
        self._in_call = Counter(_call(group.head) for group in groups)
        self._taken: set[str] = set()
        self._calls: dict[str, dict[str, str]] = {}

    def of_parameter(self, target: str, user: Node) -> str:
        """The name of a parameter, as the module that uses it knows it."""
        path = _path(user)
        names = self._aliases.get(target, (target,))
        own = [name for name in names if path and name.startswith(f"{path}.")]
        return (own or [target if target in names else names[0]])[0]

    def of_operation(self, node: Node) -> str:
        """The layer's path, or the path of the calling module and the operation; the same for each call."""
        owner = self._owner(node)
        if owner is not None:
            return owner
        path = _path(node)
        if path in self._leaves and path and self._in_call[_call(node)] <= 1:
            return path
        return f"{path}.{operations.name_of(node)}" if path else operations.name_of(node)

    def of_activation(self, node: Node) -> str:
        """The name of what leaves an operation: ``add``, the next ``add_1``; when its module runs again ``add@2``."""
        base = self.of_operation(node)
        calls = self._calls.setdefault(base, {})
        call = node.name if self._owner(node) else _call(node)
        if call not in calls:
            calls[call] = f"{base}@{len(calls) + 1}" if calls else base
        return self.free(calls[call])

    def free(self, name: str) -> str:
        """Give the name, or with a number after it where it is taken, and take it."""
        candidate, number = name, 0
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate

    def _owner(self, node: Node) -> str | None:
        """The layer that owns the weight which the node multiplies with."""
        weight = node.args[1] if operations.is_batch_norm(node) else operations.weight_of(node)
        weight = weight or operations.slopes_of(node)
        if not isinstance(weight, Node) or operations.trail_of(weight)[-1].op != "get_attr":
            return None
        for target in parameters_behind(weight):
            name = self.of_parameter(target, node)
            if ".parametrizations." in name:
                return name.split(".parametrizations.")[0]
            stem, _, leaf = name.rpartition(".")
            if leaf.startswith("weight"):
                return stem or None
            if leaf.endswith("_weight"):
                return name.removesuffix("_weight")
        return None


def _stack(node: Node) -> tuple[str, str]:
    """Give the innermost call of a module that the node is in: a name of the call, and the module's path."""
    stack: Mapping[str, tuple[str, object]] = node.meta.get("nn_module_stack", {})
    entries = [(call, path) for call, (path, _) in stack.items() if not call.startswith("_empty")]
    return entries[-1] if entries else ("", "")


def _call(node: Node) -> str:
    return _stack(node)[0]


def _path(node: Node) -> str:
    return _stack(node)[1]
