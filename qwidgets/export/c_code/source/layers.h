/* The layers of a network in integers: what each needs to know, and the functions that compute them.
 *
 * A tensor is an array of codes in the order batch, channels, height, width. The constants of a layer are in one
 * struct; a function takes the struct, the codes that enter, and where those that leave go. No memory is allocated.
 *
 * Every layer sums in a 32-bit accumulator that wraps around, as a processor's register does, and ends with
 * `qw_finish`: activation function, output right shift, rounding, range.
 */
#ifndef QW_LAYERS_H
#define QW_LAYERS_H

#include "fixed_point.h"

enum { QW_MAX_RANK = 6 };

/* What is done to a sum before it is rounded. */
typedef enum { QW_LINEAR, QW_LEAKY_RELU, QW_HARDSWISH, QW_HARDSIGMOID, QW_ABS } qw_activation;

/* From a sum to the code that leaves: what every layer ends with.
 *
 * right_shift    output right shift: fraction bits of the sum minus those of the output; negative shifts left
 * right_shifts   one for each channel, where the weight has a format per channel; NULL otherwise
 * least, most    the codes that leave lie between these (ReLU, ReLU6, clamp), counted in steps of the output
 * leasts, mosts  one for each channel; NULL otherwise
 * slope          of a leaky ReLU: slope * 2^-slope_fraction is what negative sums are multiplied by
 * slopes         of a PReLU, one for each channel; NULL otherwise
 * fraction       fraction bits of the output
 */
typedef struct {
    int right_shift;
    const int16_t *right_shifts;
    qw_activation activation;
    int64_t least;
    int64_t most;
    const int64_t *leasts;
    const int64_t *mosts;
    int64_t slope;
    const int64_t *slopes;
    int slope_fraction;
    int fraction;
    qw_format format;
} qw_output;

/* Turn a sum, still to be divided by `divisor`, into the code of a channel. */
int64_t qw_finish(const qw_output *output, size_t channel, int64_t sum, int64_t divisor);

/* A convolution, grouped, dilated and padded with zeros as may be; one dimension is two with a height of 1.
 * A batch norm by itself is one of 1 x 1 with a group for each channel.
 * Weights lie in the order output channel, input channel of its group, height, width.
 * Transposed, it spreads each input over the places of the output that would read it, and its weights lie in the order
 * input channel, output channel of its group, height, width. */
typedef struct {
    int batch, in_channels, in_height, in_width;
    int out_channels, out_height, out_width;
    int groups, kernel_height, kernel_width;
    int stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
    int transposed;
    qw_storage input_storage;
    const void *weight;
    qw_storage weight_storage;
    const void *bias; /* NULL: none */
    qw_storage bias_storage;
    int bias_left_shift; /* fraction bits of the sum minus those of the bias; negative shifts right and rounds */
    const int16_t *bias_left_shifts; /* one for each output channel; NULL otherwise */
    qw_rounding bias_rounding;
    qw_output output;
} qw_conv2d_layer;

void qw_conv2d(const qw_conv2d_layer *layer, const void *input, void *output);

/* A fully connected layer: each of `batch` vectors becomes one of `out_features`. */
typedef struct {
    int batch, in_features, out_features;
    qw_storage input_storage;
    const void *weight;
    qw_storage weight_storage;
    const void *bias;
    qw_storage bias_storage;
    int bias_left_shift;
    const int16_t *bias_left_shifts;
    qw_rounding bias_rounding;
    qw_output output;
} qw_linear_layer;

void qw_linear(const qw_linear_layer *layer, const void *input, void *output);

/* The largest code, or the average, of each window. */
typedef struct {
    int channels; /* times the batch */
    int in_height, in_width, out_height, out_width;
    int kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
    qw_storage input_storage;
    int count_padding; /* an average divides by the places of the window in the padded input; 0: in the input */
    int divisor;       /* an average divides by this instead, where it is not 0 */
    qw_output output;
} qw_pool2d_layer;

void qw_max_pool2d(const qw_pool2d_layer *layer, const void *input, void *output);
void qw_avg_pool2d(const qw_pool2d_layer *layer, const void *input, void *output);

/* Values between those of an image that is scaled up by powers of two: each sums the four around it. */
typedef struct {
    int channels; /* times the batch */
    int in_height, in_width, out_height, out_width;
    qw_storage input_storage;
    qw_output output;
} qw_resize_layer;

void qw_bilinear(const qw_resize_layer *layer, const void *input, void *output);

/* Where the values of a tensor are read: at offset + index_0 * strides[0] + index_1 * strides[1] ... */
typedef struct {
    int rank;
    int32_t offset;
    int32_t shape[QW_MAX_RANK];
    int32_t strides[QW_MAX_RANK];
} qw_view;

/* Two tensors, value by value; one that is smaller is read again and again.
 * a_left_shift, b_left_shift bring both to the same fraction bits; a negative one shifts right and rounds, ties away
 * from zero. a_sign, b_sign are 1 or -1. */
typedef struct {
    size_t count;
    size_t channels, inner; /* of the output: values after the channel in memory */
    qw_storage a_storage, b_storage;
    qw_view a, b;
    int a_left_shift, b_left_shift;
    int a_sign, b_sign;
    qw_output output;
} qw_pair_layer;

void qw_add(const qw_pair_layer *layer, const void *a, const void *b, void *output);
void qw_multiply(const qw_pair_layer *layer, const void *a, const void *b, void *output);
void qw_maximum(const qw_pair_layer *layer, const void *a, const void *b, void *output); /* the smaller, of signs -1 */

/* Sums of products of two tensors: of matrices, of vectors, any einsum of two. Each value that leaves sums `terms`
 * products; it reads each tensor where `a` or `b` says, and from there on where `a_summed` or `b_summed` do.
 * What is added to the sums is aligned as a bias is; it may be NULL. */
typedef struct {
    size_t count, terms;
    size_t channels, inner;
    qw_storage a_storage, b_storage, added_storage;
    qw_view a, b, added;
    qw_view a_summed, b_summed;
    int added_left_shift;
    qw_rounding added_rounding;
    qw_output output;
} qw_product_layer;

void qw_product(const qw_product_layer *layer, const void *a, const void *b, const void *added, void *output);

/* A function of one tensor, value by value, after it was multiplied by a constant integer. */
typedef struct {
    size_t count;
    size_t channels, inner;
    qw_storage input_storage;
    int64_t factor;
    qw_output output;
} qw_map_layer;

void qw_map(const qw_map_layer *layer, const void *input, void *output);

/* One of the tensors that a concatenation joins: `outer` blocks of `block` values go to every `stride`th place. */
typedef struct {
    size_t outer, block, offset, stride;
    qw_storage input_storage;
    qw_output output;
} qw_part_layer;

void qw_place(const qw_part_layer *layer, const void *input, void *output);

/* A sum or a mean: each value that leaves sums those that `summed` shows, beginning where `kept` says. */
typedef struct {
    size_t count, terms;
    qw_storage input_storage;
    qw_view kept, summed;
    int64_t divisor; /* 1 for a sum, the number of terms for a mean */
    qw_output output;
} qw_sum_layer;

void qw_sum(const qw_sum_layer *layer, const void *input, void *output);

/* Codes that only change their places: permuted, sliced, repeated, turned around. */
typedef struct {
    size_t count;
    qw_storage storage;
    qw_view view;
} qw_move_layer;

void qw_move(const qw_move_layer *layer, const void *input, void *output);

/* The largest of some codes, or with a sign of -1 the smallest; views as for a sum. */
typedef struct {
    size_t count, terms;
    qw_storage storage;
    qw_view kept, summed;
    int sign;
} qw_extreme_layer;

void qw_extreme(const qw_extreme_layer *layer, const void *input, void *output);

/* Codes from other places by tables, one for each dimension of the output, one after the other: the value at
 * (i, j, ...) is read at table_0[i] + table_1[j] + ... */
typedef struct {
    size_t count;
    qw_storage storage;
    int rank;
    int32_t shape[QW_MAX_RANK];
    const int32_t *places;
} qw_select_layer;

void qw_select(const qw_select_layer *layer, const void *input, void *output);

/* Rows of a table, by their numbers, which must be 0 to rows - 1: an embedding. */
typedef struct {
    size_t count, row; /* how many numbers there are, how many codes a row has */
    qw_storage storage, index_storage;
} qw_lookup_layer;

void qw_lookup(const qw_lookup_layer *layer, const void *table, const void *indices, void *output);

/* Codes with a border of one code around them. A border that is negative cuts off. */
typedef struct {
    int rank;
    int32_t in_shape[QW_MAX_RANK];
    int32_t out_shape[QW_MAX_RANK];
    int32_t before[QW_MAX_RANK];
    qw_storage storage;
    int64_t fill;
} qw_pad_layer;

void qw_pad(const qw_pad_layer *layer, const void *input, void *output);

#endif
