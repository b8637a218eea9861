/* The structure check of a CoT store's file: whatever the bytes, it ends and stays inside them. */
#include "common/store/cot_check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* so that a sanitizer sees every overrun */
    uint64_t txn;

    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    (void)lcf_cot_check_bytes(&txn, copy, size, "input", NULL);
    free(copy);
    return 0;
}
