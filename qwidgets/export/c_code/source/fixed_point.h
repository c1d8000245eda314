/* Fixed-point numbers: how a code is stored, rounded and limited.
 *
 * A tensor holds integer codes. The value that a code stands for is code * 2^-F, where F, its fraction bits, belongs to
 * the tensor. Moving a sum with F1 fraction bits to a tensor with F2 of them divides it by 2^(F1 - F2), the "output
 * right shift"; the division is rounded, and what does not fit the word saturates or wraps around.
 *
 * Nothing here depends on how a compiler shifts negative numbers or on the width of int, and no operation overflows.
 */
#ifndef QW_FIXED_POINT_H
#define QW_FIXED_POINT_H

#include <stddef.h>
#include <stdint.h>

/* The C type of the codes of a tensor. A word of fewer bits lies in the next larger type. */
typedef enum { QW_INT8, QW_UINT8, QW_INT16, QW_UINT16, QW_INT32, QW_UINT32 } qw_storage;

/* The nearest code, a tie going away from zero, to the even code or up; or always down, up or toward zero. QW_DOUBLE
 * divides in two steps, as TFLite Micro and CMSIS-NN do: by 2, a half up, and then by the rest, a half away from zero. */
typedef enum { QW_HALF_AWAY, QW_HALF_EVEN, QW_HALF_UP, QW_FLOOR, QW_CEIL, QW_ZERO, QW_DOUBLE } qw_rounding;

/* A code outside the word becomes the nearest end of its range, or keeps its lowest bits. */
typedef enum { QW_SATURATE, QW_WRAP } qw_overflow;

/* A number format: `least` and `most` are the ends of the range of its codes. */
typedef struct {
    qw_storage storage;
    int64_t least;
    int64_t most;
    qw_rounding rounding;
    qw_overflow overflow;
} qw_format;

/* Give the code at a place of a tensor. int64_t holds the codes of every storage, unsigned ones too. */
static inline int64_t qw_read(const void *codes, qw_storage storage, size_t place)
{
    switch (storage) {
    case QW_INT8:   return ((const int8_t *)codes)[place];
    case QW_UINT8:  return ((const uint8_t *)codes)[place];
    case QW_INT16:  return ((const int16_t *)codes)[place];
    case QW_UINT16: return ((const uint16_t *)codes)[place];
    case QW_INT32:  return ((const int32_t *)codes)[place];
    default:        return ((const uint32_t *)codes)[place];
    }
}

/* Store a code that fits. */
static inline void qw_write(void *codes, qw_storage storage, size_t place, int64_t code)
{
    switch (storage) {
    case QW_INT8:   ((int8_t *)codes)[place] = (int8_t)code; break;
    case QW_UINT8:  ((uint8_t *)codes)[place] = (uint8_t)code; break;
    case QW_INT16:  ((int16_t *)codes)[place] = (int16_t)code; break;
    case QW_UINT16: ((uint16_t *)codes)[place] = (uint16_t)code; break;
    case QW_INT32:  ((int32_t *)codes)[place] = (int32_t)code; break;
    default:        ((uint32_t *)codes)[place] = (uint32_t)code; break;
    }
}

/* Read the 32 bits of an accumulator as a signed number. Accumulators are unsigned, since those wrap around in C. */
static inline int64_t qw_signed(uint32_t accumulator)
{
    return accumulator <= INT32_MAX ? (int64_t)accumulator : (int64_t)accumulator - (int64_t)UINT32_MAX - 1;
}

/* Give value * 2^shift as far as it fits 32 bits that wrap around; `shift` may be of any size, but not negative. */
static inline uint32_t qw_shift_left(int64_t value, int shift)
{
    return shift < 32 ? (uint32_t)value << shift : 0;
}

/* Round a quotient: `whole` + `rest` / `unit`, where 0 <= rest < unit. `negative` tells the side of zero it is on. */
static inline int64_t qw_round(int64_t whole, int64_t rest, int64_t unit, int negative, qw_rounding rounding)
{
    int64_t below_half = unit - rest - rest; /* positive: less than half; zero: a tie */
    switch (rounding) {
    case QW_HALF_AWAY: return whole + (below_half < 0 || (below_half == 0 && !negative));
    case QW_HALF_EVEN: return whole + (below_half < 0 || (below_half == 0 && whole % 2 != 0));
    case QW_HALF_UP:   return whole + (below_half <= 0);
    case QW_FLOOR:     return whole;
    case QW_CEIL:      return whole + (rest > 0);
    case QW_DOUBLE:    return whole + (unit == 2 ? rest == 1 : below_half < 0 || (below_half <= 2 && !negative));
    default:           return whole + (rest > 0 && negative);
    }
}

/* Give value / 2^shift, rounded. A negative shift multiplies; the product stops beyond +-2^61, outside every word. */
static inline int64_t qw_shift_right(int64_t value, int shift, qw_rounding rounding)
{
    const int64_t limit = INT64_C(1) << 61;
    for (; shift < 0 && -limit < value && value < limit && value != 0; shift++) {
        value *= 2;
    }
    if (shift <= 0) {
        return value;
    }
    if (shift > 61) { /* values have less than 54 bits: from here on, what is left of one does not change */
        shift = 61;
    }
    /* ~value is what a negative value lacks to -1, so this is the floor for both signs without shifting a negative. */
    int64_t whole = value >= 0 ? value >> shift : ~(~value >> shift);
    int64_t unit = INT64_C(1) << shift;
    return qw_round(whole, value - whole * unit, unit, value < 0, rounding);
}

/* Give value / (divisor * 2^shift), rounded once. The divisor of an average is positive. */
static inline int64_t qw_divide(int64_t value, int64_t divisor, int shift, qw_rounding rounding)
{
    const int64_t limit = INT64_C(1) << 60;
    for (; shift < 0 && -limit < value && value < limit && value != 0; shift++) {
        value *= 2;
    }
    for (; shift > 0 && divisor < limit; shift--) {
        divisor *= 2;
    }
    if (rounding == QW_DOUBLE) { /* in two steps go powers of two alone */
        rounding = QW_HALF_AWAY;
    }
    int64_t whole = value / divisor;
    int64_t rest = value % divisor;
    if (rest < 0) { /* C divides toward zero */
        rest += divisor;
        whole -= 1;
    }
    return qw_round(whole, rest, divisor, value < 0, rounding);
}

/* Make a rounded number a code of a format. */
static inline int64_t qw_limit(int64_t code, const qw_format *format)
{
    if (format->overflow == QW_WRAP) {
        uint64_t mask = (uint64_t)(format->most - format->least);
        return (int64_t)(((uint64_t)code - (uint64_t)format->least) & mask) + format->least;
    }
    return code < format->least ? format->least : code > format->most ? format->most : code;
}

#endif
