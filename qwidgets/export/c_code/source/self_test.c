/* Runs the network on each example of vectors.h, and compares every tensor with the codes that it must have. */
#include <stdio.h>
#include <string.h>

#include "vectors.h"

static int differs(const qw_vector *vector, size_t example)
{
    size_t first = example * vector->count;
    for (size_t i = 0; i < vector->count; i++) {
        long long found = qw_read(vector->found, vector->storage, i);
        long long expected = qw_read(vector->expected, vector->storage, first + i);
        if (found != expected) {
            printf("example %zu: %s[%zu] is %lld, expected %lld\n", example, vector->name, i, found, expected);
            return 1;
        }
    }
    return 0;
}

int main(void)
{
    size_t tensors = sizeof vectors / sizeof *vectors;
    int failures = 0;

    for (size_t example = 0; example < QW_EXAMPLES; example++) {
        for (size_t t = 0; t < tensors; t++) {
            const qw_vector *vector = &vectors[t];
            if (vector->is_input) {
                memcpy(vector->found, (const char *)vector->expected + example * vector->bytes, vector->bytes);
            } else { /* what an earlier example left must not pass for this one's */
                memset(vector->found, 0, vector->bytes);
            }
        }
        QW_RUN();
        for (size_t t = 0; t < tensors; t++) {
            failures += differs(&vectors[t], example);
        }
    }
    printf("%zu tensors, %d examples: ", tensors, QW_EXAMPLES);
    if (failures) {
        printf("%d differ\n", failures);
        return 1;
    }
    printf("every code is equal\n");
    return 0;
}
