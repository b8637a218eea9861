/*
 * Any bytes as a ranking request in bytes: parsed or refused with a reason; what was parsed keeps
 * the limits, and written again it is the same bytes.
 */
#include "online/rank/wire_binary.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const lcf_rank_request *r, const uint8_t *data, size_t size)
{
    lcf_buf again = LCF_BUF_INIT;

    if (r->candidates_n < 1 || r->candidates_n > CANDIDATES_MAX ||
        r->history_n > LCF_WIRE_HISTORY_MAX || r->context_n > LCF_WIRE_CONTEXT_MAX ||
        r->user_features_n > LCF_WIRE_CONTEXT_MAX || r->items_n > CANDIDATES_MAX ||
        r->k > LCF_WIRE_EXAMPLES_K_MAX || r->top > LCF_RANK_CANDIDATES_MAX || r->time < 0)
        abort();
    if (lcf_wire_write_request_binary(&again, r, NULL) || again.status || again.len != size ||
        memcmp(again.data, data, size))
        abort();
    lcf_buf_dispose(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_wire_request w;
    lcf_err err = LCF_ERR_INIT;

    lcf_wire_init(&w);
    if (!lcf_wire_parse_binary(&w, data, size, CANDIDATES_MAX, &err))
        check(&w.request, data, size);
    else if (err.status == LCF_OK || !err.text[0] || w.request.candidates_n)
        abort();
    lcf_wire_dispose(&w);
    return 0;
}
