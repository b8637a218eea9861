/*
 * What holds of the ids of every parsed request, whatever bytes it came in.
 */
#ifndef LCF_TESTS_FUZZ_WIRE_LIMITS_H
#define LCF_TESTS_FUZZ_WIRE_LIMITS_H

#include "online/rank/wire.h"

#include <stdlib.h>
#include <string.h>

static inline void check_ids(const char *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(ids[i]) > LCF_WIRE_ID_BYTES_MAX)
            abort();
}

#endif
