"""Layers and products as ONNX nodes: convolutions, linear layers, a batch norm by itself, matrix products."""

from string import ascii_lowercase, ascii_uppercase

from qwidgets.export.onnx_model.step import Step, per_dimension, translates


@translates("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _convolution(step: Step) -> str:
    dimensions, given = int(step.operation[-2]), step.given
    if len(step.shape("input")) != dimensions + 2:
        step.refuse(f"its input has no batch dimension, {step.shape('input')}; give {step.operation} batches")
    kernel = [size or 0 for size in step.shape("weight")[2:]]
    strides, dilations = (per_dimension(given[name], dimensions) for name in ("stride", "dilation"))
    attributes = {
        "kernel_shape": kernel,
        "strides": strides,
        "dilations": dilations,
        "group": given["groups"],
        "pads": _pads(given["padding"], kernel, dilations),
    }
    if "transpose" in step.operation:
        attributes["output_padding"] = per_dimension(given["output_padding"], dimensions)
        return step.add("ConvTranspose", _factors(step), **attributes)
    return step.add("Conv", _factors(step), **attributes)


@translates("linear")
def _linear(step: Step) -> str:
    if len(step.shape("input")) == 2:
        return step.add("Gemm", _factors(step), transB=1)
    x, weight, *bias = _factors(step)
    transposed = step.add("Transpose", [weight], "transposed", perm=[1, 0])
    product = step.add("MatMul", [x, transposed], "product" if bias else "")
    return step.add("Add", [product, *bias]) if bias else product


@translates("batch_norm")
def _scale_and_shift(step: Step) -> str:
    """A batch norm whose statistics are in its weight and bias, one of each for a channel."""
    x, *factors = _factors(step)
    channels = step.integers("channels", [1, -1, *[1] * (len(step.shape("input")) - 2)])
    weight, bias = (
        step.add("Reshape", [factor, channels], part) for factor, part in zip(factors, ("weight", "bias"), strict=True)
    )
    return step.add("Add", [step.add("Mul", [x, weight], "product"), bias])


@translates("matmul", "mm", "bmm", "mv", "dot")
def _matmul(step: Step) -> str:
    factors = [value for name, value in step.given.items() if name in ("self", "other", "mat2", "vec", "tensor")]
    return step.add("MatMul", [step.values.factor(factor) for factor in factors])


@translates("addmm", "baddbmm", "addmv")
def _add_product(step: Step) -> str:
    """A product and a sum of their own: a Gemm would have its bias in the steps of the product."""
    left, right = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec")}[step.operation]
    product = step.then("MatMul", *(step.values.factor(step.given[name]) for name in (left, right)))
    added = step.tensor("self")
    for name, scale in (("alpha", step.given.get("alpha", 1)), ("beta", step.given.get("beta", 1))):
        if scale != 1:
            number = step.scalar(step.number(scale))
            product, added = (
                (step.then("Mul", product, number), added)
                if name == "alpha"
                else (product, step.then("Mul", added, number))
            )
    return step.add("Add", [product, added])


@translates("outer", "ger")
def _outer(step: Step) -> str:
    column = step.then("Unsqueeze", step.tensor("self"), step.integers("axis", [1]))
    return step.add("Mul", [column, step.tensor("vec2")])


@translates("vdot")
def _vdot(step: Step) -> str:
    return step.add("MatMul", [step.tensor("self"), step.tensor("other")])


@translates("inner")
def _inner(step: Step) -> str:
    ranks = [len(step.shape(name)) for name in ("self", "other")]
    if 0 in ranks:
        return step.add("Mul", [step.tensor("self"), step.tensor("other")])
    left, right = ascii_lowercase[: ranks[0] - 1], ascii_uppercase[: ranks[1] - 1]
    equation = f"{left}z,{right}z->{left}{right}"
    return step.add("Einsum", [step.tensor("self"), step.tensor("other")], equation=equation)


@translates("tensordot")
def _tensordot(step: Step) -> str:
    left, right = (list(letters[: len(step.shape(name))]) for letters, name in _LETTERS)
    for mine, its in zip(step.given["dims_self"], step.given["dims_other"], strict=True):
        right[its] = left[mine]
    kept = [letter for letter in left if letter not in right] + [letter for letter in right if letter not in left]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return step.add("Einsum", [step.tensor("self"), step.tensor("other")], equation=equation)


_LETTERS = ((ascii_lowercase, "self"), (ascii_uppercase, "other"))


@translates("einsum")
def _einsum(step: Step) -> str:
    factors = [step.values.factor(factor) for factor in step.given["tensors"]]
    return step.add("Einsum", factors, equation=step.given["equation"].replace(" ", ""))


def _factors(step: Step) -> list[str]:
    """Name what a layer reads: its input, its weight, and its bias where it has one."""
    bias = step.given.get("bias")
    factors = [step.tensor("input"), step.values.factor(step.given["weight"])]
    return factors if bias is None else [*factors, step.values.bias(bias, step.given, step.exact)]


def _pads(padding: object, kernel: list[int], dilations: list[int]) -> list[int]:
    """Give what is padded before each dimension, then what is padded after."""
    if padding == "valid":
        return [0] * (2 * len(kernel))
    if padding == "same":
        totals = [dilation * (size - 1) for dilation, size in zip(dilations, kernel, strict=True)]
        return [total // 2 for total in totals] + [total - total // 2 for total in totals]
    return per_dimension(padding, len(kernel)) * 2
