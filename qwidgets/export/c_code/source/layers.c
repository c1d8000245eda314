/* The layers of a network in integers, one loop after the other: written to be read, not to be fast. */
#include "layers.h"

/* Activation functions */

static int64_t hard_gate(int64_t sum, int fraction)
{
    int64_t three = INT64_C(3) << fraction;
    int64_t gate = sum + three;
    return gate < 0 ? 0 : gate > 2 * three ? 2 * three : gate;
}

int64_t qw_finish(const qw_output *output, size_t channel, int64_t sum, int64_t divisor)
{
    const qw_format *format = &output->format;
    int shift = output->right_shifts ? output->right_shifts[channel] : output->right_shift;

    if (output->activation == QW_LEAKY_RELU && sum < 0) {
        sum *= output->slopes ? output->slopes[channel] : output->slope;
        shift += output->slope_fraction;
    } else if (output->activation == QW_ABS) {
        sum = sum < 0 ? -sum : sum;
    } else if (output->activation == QW_HARDSWISH || output->activation == QW_HARDSIGMOID) {
        /* x * clamp(x + 3, 0, 6) / 6, or without the first factor: the division is left to the rounding. */
        int fraction = shift + output->fraction; /* of the sum */
        for (; fraction < 0; fraction++, shift++) {
            sum *= 2;
        }
        int64_t gate = hard_gate(sum, fraction);
        if (output->activation == QW_HARDSWISH) {
            sum *= gate;
            shift += fraction;
        } else {
            sum = gate;
        }
        divisor = 6;
    }

    /* In two steps goes a sum as it is. */
    int is_sum = output->activation != QW_LEAKY_RELU && output->activation != QW_ABS;
    qw_rounding rounding = format->rounding == QW_DOUBLE && !is_sum ? QW_HALF_AWAY : format->rounding;
    int64_t code = divisor == 1 ? qw_shift_right(sum, shift, rounding) : qw_divide(sum, divisor, shift, rounding);

    int64_t least = output->leasts ? output->leasts[channel] : output->least;
    int64_t most = output->mosts ? output->mosts[channel] : output->most;
    code = code < least ? least : code;
    code = code > most ? most : code;
    return qw_limit(code, format);
}

/* Layers with weights */

static uint32_t aligned(int64_t code, int left_shift, qw_rounding rounding)
{
    return left_shift >= 0 ? qw_shift_left(code, left_shift) : (uint32_t)qw_shift_right(code, -left_shift, rounding);
}

static uint32_t bias_of(const void *bias, qw_storage storage, int shift, const int16_t *shifts, qw_rounding rounding,
                        size_t channel)
{
    return bias ? aligned(qw_read(bias, storage, channel), shifts ? shifts[channel] : shift, rounding) : 0;
}

/* At which input a tap of the kernel lies for a place of the output; negative where at none: padding is zero. */
static int met(int out, int tap, int stride, int dilation, int before, int inputs, int transposed)
{
    int at = transposed ? out + before - tap * dilation : out * stride + tap * dilation - before;
    int step = transposed ? stride : 1;
    return at % step != 0 || at / step >= inputs ? -1 : at / step;
}

void qw_conv2d(const qw_conv2d_layer *layer, const void *input, void *output)
{
    const int in_channels = layer->in_channels / layer->groups;   /* that one output channel sums over */
    const int out_channels = layer->out_channels / layer->groups; /* of one group */
    size_t place = 0;

    for (int image = 0; image < layer->batch; image++) {
        for (int channel = 0; channel < layer->out_channels; channel++) {
            const int first = channel / out_channels * in_channels;
            const uint32_t bias = bias_of(layer->bias, layer->bias_storage, layer->bias_left_shift,
                                          layer->bias_left_shifts, layer->bias_rounding, (size_t)channel);
            for (int out_y = 0; out_y < layer->out_height; out_y++) {
                for (int out_x = 0; out_x < layer->out_width; out_x++) {
                    uint32_t sum = bias;
                    for (int number = 0; number < in_channels; number++) {
                        const int in_channel = first + number;
                        size_t plane = ((size_t)image * layer->in_channels + in_channel) * layer->in_height;
                        size_t kernel = layer->transposed ? (size_t)in_channel * out_channels + channel % out_channels
                                                          : (size_t)channel * in_channels + number;
                        size_t tap = kernel * layer->kernel_height * layer->kernel_width;
                        for (int kernel_y = 0; kernel_y < layer->kernel_height; kernel_y++) {
                            int y = met(out_y, kernel_y, layer->stride_y, layer->dilation_y, layer->pad_top,
                                        layer->in_height, layer->transposed);
                            for (int kernel_x = 0; kernel_x < layer->kernel_width; kernel_x++, tap++) {
                                int x = met(out_x, kernel_x, layer->stride_x, layer->dilation_x, layer->pad_left,
                                            layer->in_width, layer->transposed);
                                if (y < 0 || x < 0) {
                                    continue;
                                }
                                int64_t code = qw_read(input, layer->input_storage, (plane + y) * layer->in_width + x);
                                sum += (uint32_t)code * (uint32_t)qw_read(layer->weight, layer->weight_storage, tap);
                            }
                        }
                    }
                    int64_t code = qw_finish(&layer->output, (size_t)channel, qw_signed(sum), 1);
                    qw_write(output, layer->output.format.storage, place++, code);
                }
            }
        }
    }
}

void qw_linear(const qw_linear_layer *layer, const void *input, void *output)
{
    for (int vector = 0; vector < layer->batch; vector++) {
        for (int feature = 0; feature < layer->out_features; feature++) {
            uint32_t sum = bias_of(layer->bias, layer->bias_storage, layer->bias_left_shift, layer->bias_left_shifts,
                                   layer->bias_rounding, (size_t)feature);
            for (int i = 0; i < layer->in_features; i++) {
                int64_t code = qw_read(input, layer->input_storage, (size_t)vector * layer->in_features + i);
                size_t tap = (size_t)feature * layer->in_features + i;
                sum += (uint32_t)code * (uint32_t)qw_read(layer->weight, layer->weight_storage, tap);
            }
            int64_t code = qw_finish(&layer->output, (size_t)feature, qw_signed(sum), 1);
            qw_write(output, layer->output.format.storage, (size_t)vector * layer->out_features + feature, code);
        }
    }
}

/* Pooling */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

void qw_max_pool2d(const qw_pool2d_layer *layer, const void *input, void *output)
{
    size_t place = 0;
    for (int channel = 0; channel < layer->channels; channel++) {
        for (int out_y = 0; out_y < layer->out_height; out_y++) {
            for (int out_x = 0; out_x < layer->out_width; out_x++) {
                int64_t largest = INT64_MIN;
                for (int kernel_y = 0; kernel_y < layer->kernel_height; kernel_y++) {
                    int y = out_y * layer->stride_y + kernel_y * layer->dilation_y - layer->pad_top;
                    for (int kernel_x = 0; kernel_x < layer->kernel_width; kernel_x++) {
                        int x = out_x * layer->stride_x + kernel_x * layer->dilation_x - layer->pad_left;
                        if (y < 0 || y >= layer->in_height || x < 0 || x >= layer->in_width) {
                            continue; /* padding is smaller than every code */
                        }
                        size_t from = ((size_t)channel * layer->in_height + y) * layer->in_width + x;
                        int64_t code = qw_read(input, layer->input_storage, from);
                        largest = code > largest ? code : largest;
                    }
                }
                qw_write(output, layer->input_storage, place++, largest); /* the format stays */
            }
        }
    }
}

void qw_avg_pool2d(const qw_pool2d_layer *layer, const void *input, void *output)
{
    size_t place = 0;
    for (int channel = 0; channel < layer->channels; channel++) {
        for (int out_y = 0; out_y < layer->out_height; out_y++) {
            for (int out_x = 0; out_x < layer->out_width; out_x++) {
                int top = out_y * layer->stride_y - layer->pad_top;
                int left = out_x * layer->stride_x - layer->pad_left;
                /* The window ends at the latest where the padded input does. */
                int bottom = smaller(top + layer->kernel_height, layer->in_height + layer->pad_top);
                int right = smaller(left + layer->kernel_width, layer->in_width + layer->pad_left);
                int places = (bottom - top) * (right - left);
                top = larger(top, 0);
                left = larger(left, 0);
                bottom = smaller(bottom, layer->in_height);
                right = smaller(right, layer->in_width);
                if (layer->divisor) {
                    places = layer->divisor;
                } else if (!layer->count_padding) {
                    places = (bottom - top) * (right - left);
                }
                uint32_t sum = 0;
                for (int y = top; y < bottom; y++) {
                    for (int x = left; x < right; x++) {
                        size_t from = ((size_t)channel * layer->in_height + y) * layer->in_width + x;
                        sum += (uint32_t)qw_read(input, layer->input_storage, from);
                    }
                }
                int64_t code = qw_finish(&layer->output, (size_t)channel, qw_signed(sum), places);
                qw_write(output, layer->output.format.storage, place++, code);
            }
        }
    }
}

/* Where the values of an image that is scaled by a power of two lie between those of the input, in steps of 1 / unit. */
typedef struct {
    int before, after, part, unit;
} between;

static between scaled(int out, int inputs, int outputs)
{
    int scale = outputs / inputs, unit = scale == 1 ? 1 : 2 * scale;
    int at = scale == 1 ? out : 2 * out + 1 - scale;
    at = larger(at, 0);
    return (between){at / unit, smaller(at / unit + 1, inputs - 1), at % unit, unit};
}

void qw_bilinear(const qw_resize_layer *layer, const void *input, void *output)
{
    size_t place = 0;
    for (int channel = 0; channel < layer->channels; channel++) {
        size_t plane = (size_t)channel * layer->in_height * layer->in_width;
        for (int out_y = 0; out_y < layer->out_height; out_y++) {
            const between y = scaled(out_y, layer->in_height, layer->out_height);
            for (int out_x = 0; out_x < layer->out_width; out_x++) {
                const between x = scaled(out_x, layer->in_width, layer->out_width);
                uint32_t sum = 0;
                for (int corner = 0; corner < 4; corner++) {
                    int row = corner / 2 ? y.after : y.before, column = corner % 2 ? x.after : x.before;
                    int weight = (corner / 2 ? y.part : y.unit - y.part) * (corner % 2 ? x.part : x.unit - x.part);
                    size_t from = plane + (size_t)row * layer->in_width + column;
                    sum += (uint32_t)qw_read(input, layer->input_storage, from) * (uint32_t)weight;
                }
                int64_t code = qw_finish(&layer->output, 0, qw_signed(sum), 1);
                qw_write(output, layer->output.format.storage, place++, code);
            }
        }
    }
}

/* Value by value */

static size_t at(const qw_view *view, size_t number)
{
    int64_t place = view->offset;
    for (int axis = view->rank - 1; axis >= 0; axis--) {
        size_t size = (size_t)view->shape[axis];
        place += (int64_t)(number % size) * view->strides[axis];
        number /= size;
    }
    return (size_t)place;
}

void qw_add(const qw_pair_layer *layer, const void *a, const void *b, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        uint32_t left = aligned(qw_read(a, layer->a_storage, at(&layer->a, i)), layer->a_left_shift, QW_HALF_AWAY);
        uint32_t right = aligned(qw_read(b, layer->b_storage, at(&layer->b, i)), layer->b_left_shift, QW_HALF_AWAY);
        uint32_t sum = (layer->a_sign > 0 ? left : 0 - left) + (layer->b_sign > 0 ? right : 0 - right);
        int64_t code = qw_finish(&layer->output, i / layer->inner % layer->channels, qw_signed(sum), 1);
        qw_write(output, layer->output.format.storage, i, code);
    }
}

void qw_multiply(const qw_pair_layer *layer, const void *a, const void *b, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        uint32_t left = (uint32_t)qw_read(a, layer->a_storage, at(&layer->a, i));
        uint32_t right = (uint32_t)qw_read(b, layer->b_storage, at(&layer->b, i));
        int64_t code = qw_finish(&layer->output, i / layer->inner % layer->channels, qw_signed(left * right), 1);
        qw_write(output, layer->output.format.storage, i, code);
    }
}

void qw_maximum(const qw_pair_layer *layer, const void *a, const void *b, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        int64_t left = qw_read(a, layer->a_storage, at(&layer->a, i)), right = qw_read(b, layer->b_storage, at(&layer->b, i));
        left = qw_shift_right(left, -layer->a_left_shift, QW_FLOOR); /* to the left */
        right = qw_shift_right(right, -layer->b_left_shift, QW_FLOOR);
        int64_t chosen = (left > right) == (layer->a_sign > 0) ? left : right;
        int64_t code = qw_finish(&layer->output, i / layer->inner % layer->channels, chosen, 1);
        qw_write(output, layer->output.format.storage, i, code);
    }
}

void qw_product(const qw_product_layer *layer, const void *a, const void *b, const void *added, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        const size_t first_a = at(&layer->a, i), first_b = at(&layer->b, i);
        uint32_t sum = 0;
        if (added) {
            int64_t code = qw_read(added, layer->added_storage, at(&layer->added, i));
            sum = aligned(code, layer->added_left_shift, layer->added_rounding);
        }
        for (size_t term = 0; term < layer->terms; term++) {
            uint32_t left = (uint32_t)qw_read(a, layer->a_storage, first_a + at(&layer->a_summed, term));
            uint32_t right = (uint32_t)qw_read(b, layer->b_storage, first_b + at(&layer->b_summed, term));
            sum += left * right;
        }
        int64_t code = qw_finish(&layer->output, i / layer->inner % layer->channels, qw_signed(sum), 1);
        qw_write(output, layer->output.format.storage, i, code);
    }
}

void qw_map(const qw_map_layer *layer, const void *input, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        int64_t product = qw_read(input, layer->input_storage, i) * layer->factor;
        int64_t code = qw_finish(&layer->output, i / layer->inner % layer->channels, product, 1);
        qw_write(output, layer->output.format.storage, i, code);
    }
}

/* Several values, or other places */

void qw_place(const qw_part_layer *layer, const void *input, void *output)
{
    for (size_t i = 0; i < layer->outer * layer->block; i++) {
        int64_t code = qw_finish(&layer->output, 0, qw_read(input, layer->input_storage, i), 1);
        size_t place = layer->offset + i / layer->block * layer->stride + i % layer->block;
        qw_write(output, layer->output.format.storage, place, code);
    }
}

void qw_sum(const qw_sum_layer *layer, const void *input, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        uint32_t sum = 0;
        for (size_t term = 0; term < layer->terms; term++) {
            sum += (uint32_t)qw_read(input, layer->input_storage, at(&layer->kept, i) + at(&layer->summed, term));
        }
        int64_t code = qw_finish(&layer->output, 0, qw_signed(sum), layer->divisor);
        qw_write(output, layer->output.format.storage, i, code);
    }
}

void qw_move(const qw_move_layer *layer, const void *input, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        qw_write(output, layer->storage, i, qw_read(input, layer->storage, at(&layer->view, i)));
    }
}

void qw_extreme(const qw_extreme_layer *layer, const void *input, void *output)
{
    for (size_t i = 0; i < layer->count; i++) {
        const size_t first = at(&layer->kept, i);
        int64_t found = qw_read(input, layer->storage, first + at(&layer->summed, 0));
        for (size_t term = 1; term < layer->terms; term++) {
            int64_t code = qw_read(input, layer->storage, first + at(&layer->summed, term));
            found = (code > found) == (layer->sign > 0) ? code : found;
        }
        qw_write(output, layer->storage, i, found);
    }
}

void qw_select(const qw_select_layer *layer, const void *input, void *output)
{
    size_t tables = 0;
    for (int axis = 0; axis < layer->rank; axis++) {
        tables += (size_t)layer->shape[axis];
    }
    for (size_t i = 0; i < layer->count; i++) {
        size_t number = i, table = tables, place = 0;
        for (int axis = layer->rank - 1; axis >= 0; axis--) {
            size_t size = (size_t)layer->shape[axis];
            table -= size;
            place += (size_t)layer->places[table + number % size];
            number /= size;
        }
        qw_write(output, layer->storage, i, qw_read(input, layer->storage, place));
    }
}

void qw_lookup(const qw_lookup_layer *layer, const void *table, const void *indices, void *output)
{
    for (size_t i = 0; i < layer->count * layer->row; i++) {
        size_t number = (size_t)qw_read(indices, layer->index_storage, i / layer->row);
        qw_write(output, layer->storage, i, qw_read(table, layer->storage, number * layer->row + i % layer->row));
    }
}

void qw_pad(const qw_pad_layer *layer, const void *input, void *output)
{
    size_t count = 1;
    for (int axis = 0; axis < layer->rank; axis++) {
        count *= (size_t)layer->out_shape[axis];
    }
    for (size_t i = 0; i < count; i++) {
        size_t number = i, from = 0, stride = 1;
        int inside = 1;
        for (int axis = layer->rank - 1; axis >= 0; axis--) {
            int64_t index = (int64_t)(number % (size_t)layer->out_shape[axis]) - layer->before[axis];
            inside = inside && index >= 0 && index < layer->in_shape[axis];
            from += inside ? (size_t)index * stride : 0;
            stride *= (size_t)layer->in_shape[axis];
            number /= (size_t)layer->out_shape[axis];
        }
        qw_write(output, layer->storage, i, inside ? qw_read(input, layer->storage, from) : layer->fill);
    }
}
