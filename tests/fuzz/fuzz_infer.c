/*
 * Any bytes as a request of the Open Inference Protocol: parsed or refused with a reason; what was
 * parsed keeps the limits that the ranking library relies on, and its answer is JSON.
 */
#include "common/base/json.h"
#include "online/rank/wire_infer.h"
#include "tests/fuzz/wire_limits.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const lcf_rank_request *r)
{
    if (r->candidates_n < 1 || r->candidates_n > CANDIDATES_MAX ||
        r->history_n > LCF_WIRE_HISTORY_MAX || strlen(r->user_id) > LCF_WIRE_ID_BYTES_MAX)
        abort();
    check_ids(r->candidates, r->candidates_n);
    check_ids(r->history, r->history_n);
}

/* As if the last candidate were the best. */
static void check_answer(const lcf_wire_infer *asked, const lcf_rank_request *r)
{
    lcf_rank_result results[CANDIDATES_MAX] = {{0}};
    const lcf_rank_response response = {.generation = "one",
                                        .results = results,
                                        .results_n = r->candidates_n,
                                        .degraded = "unknown_user"};
    lcf_buf out = LCF_BUF_INIT;
    json_t *json = NULL;

    for (size_t i = 0; i < r->candidates_n; i++)
        results[i] = (lcf_rank_result){.candidate = r->candidates_n - 1 - i,
                                       .score = 1.0f / (float)(i + 2),
                                       .degraded = i % 2 ? "unknown_item" : NULL};
    if (lcf_wire_write_infer(&out, asked, r->user_id, &response) || out.status ||
        lcf_json_parse(&json, out.data, out.len, "written", NULL) ||
        json_array_size(json_object_get(json, "outputs")) !=
            (size_t)asked->scores + (size_t)asked->degraded)
        abort();
    json_decref(json);
    lcf_buf_dispose(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_wire_request w;
    lcf_wire_infer asked;
    lcf_err err = LCF_ERR_INIT;

    lcf_wire_init(&w);
    if (!lcf_wire_parse_infer(&asked, &w, (const char *)data, size, "body", CANDIDATES_MAX, &err)) {
        check_limits(&w.request);
        check_answer(&asked, &w.request);
    } else if (err.status == LCF_OK || !err.text[0] || w.request.candidates_n) {
        abort();
    }
    lcf_wire_dispose(&w);
    return 0;
}
