/* Recorded requests. The mutex is held for a copy of one request. */
#include "online/server/recorder.h"

#include "common/base/mem.h"
#include "online/rank/wire_binary.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct lcf_recorder {
    _Atomic uint64_t seen;
    pthread_mutex_t mutex;
    struct {
        lcf_buf body;
        bool binary;
    } kept[LCF_RECORDED_N];
};

lcf_status lcf_recorder_create(lcf_recorder **out, lcf_err *err)
{
    lcf_recorder *r = lcf_alloc_zero(1, sizeof(*r));

    *out = r;
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "recorder");
    pthread_mutex_init(&r->mutex, NULL);
    return LCF_OK;
}

void lcf_recorder_free(lcf_recorder *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < LCF_RECORDED_N; i++)
        lcf_buf_dispose(&r->kept[i].body);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

void lcf_recorder_keep(lcf_recorder *r, const char *body, size_t n, bool binary)
{
    const uint64_t seen = atomic_fetch_add_explicit(&r->seen, 1, memory_order_relaxed);
    const bool wanted = seen < LCF_RECORDED_N || seen % LCF_RECORDED_EVERY == 0;
    const size_t idx = seen < LCF_RECORDED_N ? seen : seen / LCF_RECORDED_EVERY % LCF_RECORDED_N;
    lcf_buf *to = &r->kept[idx].body;

    if (!wanted || pthread_mutex_trylock(&r->mutex))
        return;
    r->kept[idx].binary = binary;
    lcf_buf_reset(to);
    lcf_buf_append(to, body, n);
    if (to->status)
        lcf_buf_dispose(to);
    pthread_mutex_unlock(&r->mutex);
}

static void replay(lcf_recorder *r, size_t idx, lcf_wire_request *wire, lcf_buf *body,
                   lcf_rank_context *c)
{
    lcf_rank_response response;
    bool binary;

    lcf_buf_reset(body);
    pthread_mutex_lock(&r->mutex);
    lcf_buf_append(body, r->kept[idx].body.data, r->kept[idx].body.len);
    binary = r->kept[idx].binary;
    pthread_mutex_unlock(&r->mutex);
    if (!body->len)
        return;
    if (!(binary ? lcf_wire_parse_binary(wire, body->data, body->len, LCF_RANK_CANDIDATES_MAX, NULL)
                 : lcf_wire_parse(wire, body->data, body->len, "recorded", LCF_RANK_CANDIDATES_MAX,
                                  NULL)))
        (void)lcf_rank(&response, c, &wire->request, NULL);
}

/* Of an unknown user and unknown items: what takes memory does so, in every arm's way. */
static void rank_largest(lcf_rank_context *c)
{
    const char **candidates = lcf_alloc(LCF_RANK_CANDIDATES_MAX, sizeof(*candidates));
    const lcf_rank_request request = {.candidates = candidates,
                                      .candidates_n = LCF_RANK_CANDIDATES_MAX};
    lcf_rank_response response;

    for (size_t i = 0; candidates && i < LCF_RANK_CANDIDATES_MAX; i++)
        candidates[i] = "";
    if (candidates)
        (void)lcf_rank(&response, c, &request, NULL);
    free(candidates);
}

void lcf_recorder_replay(lcf_recorder *r, lcf_rank_context *c)
{
    lcf_wire_request wire;
    lcf_buf body = LCF_BUF_INIT;

    lcf_wire_init(&wire);
    for (size_t i = 0; i < LCF_RECORDED_N; i++)
        replay(r, i, &wire, &body, c);
    rank_largest(c);
    lcf_wire_dispose(&wire);
    lcf_buf_dispose(&body);
}
