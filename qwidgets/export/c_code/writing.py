"""The text of the C files: numbers in tables, structs with named fields, and comments that tell how it all fits."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from qwidgets.export.c_code.names import comment, expected, string
from qwidgets.export.c_code.parts import Array, Buffer, Constants, Layer, Parts, Raw, Value, ctype, ends, storage

WIDTH = 110


def weights_header(parts: Parts, title: str) -> str:
    """Write ``weights.h``: the constants of every layer, and the terms that other tools know them by."""
    guard = f"{parts.prefix.upper()}_WEIGHTS_H"
    about = f"""/* {comment(title)}: weights, biases, fraction bits and shifts.
 *
 * The value of a code is code * 2^-fraction. A layer sums input code * weight code with input_fraction +
 * weight_fraction fraction bits, adds bias code * 2^bias_left_shift, and divides by 2^output_right_shift.
 * In the words of others:
 *   NNoM       bias left shift = input + weight - bias fraction bits, output right shift = input + weight - output
 *   CMSIS-NN   output_multiplier (the same for every channel) and output_shift: 0x40000000 with 1 - k is 2^-k
 * Both round half up (CMSIS-NN built with CMSIS_NN_USE_SINGLE_ROUNDING, NNoM without NNOM_TRUNCATE), so give the
 * outputs of layers the rounding half_up where those compute them. A negative shift goes the other way.
 */
#ifndef {guard}
#define {guard}

#include <stdint.h>
"""
    sections = "".join(map(_constants, parts.constants))
    return f"{about}{sections}\n#endif\n"


def _constants(constants: Constants) -> str:
    widest = max(map(len, constants.numbers), default=0)
    defines = "".join(f"#define {name:<{widest}} {value}\n" for name, value in constants.numbers.items())
    return f"\n/* {comment(constants.title)} */\n{defines}" + "".join(map(_array, constants.arrays))


def _array(array: Array) -> str:
    count = array.values.numel()
    body = table(array.values, by_row=array.values.ndim > 1)
    return f"/* {comment(array.about)} */\nstatic const {array.ctype} {array.name}[{count}] = {{\n{body}}};\n"


def table(values: Tensor, by_row: bool = False) -> str:
    """Write integers in columns; each part along the first dimension begins a line where ``by_row`` says so."""
    plain = values.numel() and int(values.min()) > -(1 << 31) and int(values.max()) < 1 << 31
    numbers = list(map(str if plain else _literal, values.flatten().tolist()))
    widest = max(map(len, numbers), default=1)
    columns = max((WIDTH - 4) // (widest + 2), 1)
    length = len(numbers) // values.shape[0] if by_row else len(numbers)
    lines = (
        numbers[start : min(start + columns, first + length)]
        for first in range(0, len(numbers), length or 1)
        for start in range(first, first + length, columns)
    )
    return "".join("    " + ", ".join(number.rjust(widest) for number in line) + ",\n" for line in lines)


def _literal(value: int) -> str:
    """Write a number that C takes for the type it is meant to have; there is no literal of the least one."""
    if value == -(1 << 31):
        return "-2147483647 - 1"
    if abs(value) < 1 << 31:
        return str(value)
    return f"{value}u" if 0 <= value < 1 << 32 else f"INT64_C({value})"


def network_header(parts: Parts, title: str) -> str:
    """Write ``network.h``: every tensor, the inputs to fill, the outputs to read, the function that runs it."""
    guard = f"{parts.prefix.upper()}_NETWORK_H"
    inputs = [buffer for buffer in parts.buffers if buffer.is_input]
    lines = [
        f"/* {comment(title)} in integers.",
        " *",
        " * Fill each input with codes, call the function, read each output:",
        *(f" *     input   {_described(buffer)}" for buffer in inputs),
        *(f" *     output  {_described(buffer)}" for buffer in dict.fromkeys(parts.outputs)),
        f" *     {parts.prefix}_run();",
        " *",
        " * The code of a value x is x * 2^F, rounded and limited to the range; the value of a code is code * 2^-F.",
        " */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        f"void {parts.prefix}_run(void);",
    ]
    for buffer in parts.buffers:
        lines += ["", f"/* {comment(_of(buffer))}", f" * {_format(buffer)} */"]
        lines += [f"extern {ctype(buffer.fmt)} {buffer.name}[{_count(buffer)}];"]
    return "\n".join([*lines, "", "#endif", ""])


def _of(buffer: Buffer) -> str:
    shape = " x ".join(map(str, buffer.shape))
    return f"{buffer.row or 'moved'} ({buffer.about}): {shape or 'one number'}"


def _format(buffer: Buffer) -> str:
    fmt = buffer.fmt
    least, most = ends(fmt)
    return (
        f"{'signed' if fmt.signed else 'unsigned'}, {fmt.word_length} bits, F = {fmt.fraction_length}, "
        f"codes {least} to {most}, {fmt.rounding}, {fmt.overflow}"
    )


def _described(buffer: Buffer) -> str:
    return comment(f"{buffer.name}[{_count(buffer)}], F = {buffer.fmt.fraction_length}")


def _count(buffer: Buffer) -> int:
    count = 1
    for size in buffer.shape:
        count *= size
    return count


def network_source(parts: Parts, title: str) -> str:
    """Write ``network.c``: the tensors, a struct for each layer, and the calls in their order."""
    head = f"/* {comment(title)} in integers: what each layer is, and the order in which they are computed. */\n"
    includes = '#include "network.h"\n\n#include "layers.h"\n#include "weights.h"\n'
    tensors = "".join(f"{ctype(buffer.fmt)} {buffer.name}[{_count(buffer)}];\n" for buffer in parts.buffers)
    structs = "".join(map(_struct, parts.layers))
    calls = "".join(
        f"    {layer.function}(&{layer.name}, {', '.join((*layer.reads, layer.writes))});\n" for layer in parts.layers
    )
    function = f"void {parts.prefix}_run(void)\n{{\n{calls}}}\n"
    return f"{head}{includes}\n/* Tensors */\n\n{tensors}\n/* Layers */\n{structs}\n{function}"


def _struct(layer: Layer) -> str:
    declared = f"static const {layer.struct} {layer.name}"
    return f"\n/* {comment(layer.about)} */\n{declared} = {{\n{_fields(layer.fields, 1)}}};\n"


def _fields(fields: Mapping[str, Value], depth: int) -> str:
    """Write the fields of a struct: numbers together in lines, structs inside in blocks of their own."""
    indent, lines, line = "    " * depth, [], ""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            lines.append(line)
            line = ""
            lines.append(f"{indent}.{name} = {{\n{_fields(value, depth + 1)}{indent}}},\n")
            continue
        item = f".{name} = {_value(value)},"
        if line and len(line) + len(item) > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line[:-1]} {item}\n" if line else f"{indent}{item}\n"
    return "".join([*lines, line])


def _value(value: int | Raw | list[int] | object) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, list):
        return "{" + ", ".join(map(str, value)) + "}" if value else "{0}"
    assert isinstance(value, int)
    return _literal(value)


def vectors_header(parts: Parts, codes: Mapping[str, Sequence[Tensor]], title: str, source: str) -> str:
    """Write ``vectors.h``: for each example the codes of every row.

    Parameters
    ----------
    codes
        By row, those of each example.
    source
        Where the examples come from.
    """
    known = [buffer for buffer in parts.buffers if buffer.row]
    examples = max(len(per_example) for per_example in codes.values())
    counted = f"{examples} example{'s' * (examples != 1)}"
    head = f"""/* {comment(title)}: test vectors, the codes of every tensor for {counted}.
 * {comment(source)} */
#include "fixed_point.h"
#include "network.h"

#define QW_EXAMPLES {examples}
#define QW_RUN {parts.prefix}_run

typedef struct {{
    const char *name;
    void *found;
    const void *expected; /* of all examples, one after the other */
    size_t count, bytes;  /* of one example */
    qw_storage storage;
    int is_input;
}} qw_vector;
"""
    arrays, entries = [], []
    for buffer in known:
        name, count, element = expected(buffer.name), _count(buffer), ctype(buffer.fmt)
        values = "".join(
            f"    /* example {number} */\n{table(example)}" for number, example in enumerate(codes[buffer.row])
        )
        arrays.append(f"\nstatic const {element} {name}[QW_EXAMPLES * {count}] = {{\n{values}}};\n")
        entries.append(
            f"    {{{string(buffer.row)}, {buffer.name}, {name}, {count}, sizeof {buffer.name}, "
            f"{storage(buffer.fmt).text}, {int(buffer.is_input)}}},\n"
        )
    return f"{head}{''.join(arrays)}\nstatic const qw_vector vectors[] = {{\n{''.join(entries)}}};\n"


def readme(parts: Parts, title: str) -> str:
    """Write ``README.txt``."""
    inputs = [buffer for buffer in parts.buffers if buffer.is_input]
    weights = sum(_bytes(array.ctype) * array.values.numel() for made in parts.constants for array in made.arrays)
    memory = sum(_bytes(ctype(buffer.fmt)) * _count(buffer) for buffer in parts.buffers)
    heading = f"{comment(title)} in integers, as C99"
    return f"""{heading}
{"=" * len(heading)}

    make

builds the self-test with the address and undefined-behaviour sanitizers and runs it: it computes every layer for the
examples of vectors.h and compares all codes. On the target, compile network.c and layers.c; no library is needed, no
memory is allocated, and there is no floating point.

    #include "network.h"

    {inputs[0].name if inputs else "input"}[i] = ...;     the codes of the input, see network.h for their format
    {parts.prefix}_run();
    ... = {parts.outputs[0].name}[i];     the codes of the output

network.h      each tensor: shape, format, where it lies ({memory:,} bytes in all)
network.c      each layer, and their order
weights.h      weights, biases, fraction bits, shifts ({weights:,} bytes in all), in the terms of CMSIS-NN and NNoM
layers.h, .c   the layers themselves: a reference to read and to check faster ones against
fixed_point.h  storing, rounding and limiting codes
vectors.h      test vectors; self_test.c compares with them
SHA256SUMS     what was written: sha256sum -c SHA256SUMS

Tensors lie in the order batch, channels, height, width, and weights in the order output channel, input channel, height,
width. CMSIS-NN and NNoM take height, width, channels, and weights accordingly: permute what you copy there.
"""


def _bytes(element: str) -> int:
    return int("".join(letter for letter in element if letter.isdigit())) // 8
