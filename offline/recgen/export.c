/*
 * Export of a chain-of-thought store as JSON lines, for people and for comparing stores.
 */
#include "common/base/json.h"
#include "common/base/mem.h"
#include "offline/recgen/generate.h"

#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    uint64_t hash;
    lcf_hash128 key;
} ranked;

typedef struct exporter {
    FILE *out;
    uint64_t written, seed;
    ranked *keys; /* all keys, when only some are wanted */
    size_t n, capacity;
} exporter;

json_t *lcf_cot_record_json(const lcf_cot_record *r)
{
    char key[33], sample[33];

    lcf_hash128_hex(key, r->key);
    lcf_hash128_hex(sample, r->sample_hash);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:f, s:{s:f, s:f, s:f, s:f}, s:s, s:s, s:s, s:s, s:I,"
        " s:I, s:I, s:I, s:I}",
        "key", key, "sample", sample, "user_id", r->user_id, "item_id", r->item_id, "label",
        (json_int_t)r->label, "time", (json_int_t)r->time, "text", r->text, "score",
        (double)r->score, "parts", "coherence", (double)r->parts[0], "completeness",
        (double)r->parts[1], "relevance", (double)r->parts[2], "consistency", (double)r->parts[3],
        "reject_reason", r->reject_reason, "model", r->model_id, "prompt", r->prompt_version,
        "sampling", r->sampling, "candidate", (json_int_t)r->candidate, "candidates",
        (json_int_t)r->candidates_n, "prompt_tokens", (json_int_t)r->prompt_tokens, "tokens",
        (json_int_t)r->tokens, "tokens_generated", (json_int_t)r->tokens_generated);
}

static lcf_status write_record(void *arg, const lcf_cot_record *r, lcf_err *err)
{
    exporter *e = arg;
    json_t *json = lcf_cot_record_json(r);
    char *line = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    lcf_status status = LCF_OK;

    if (!line)
        status = LCF_FAIL(err, LCF_EFORMAT, "a record cannot be written as JSON");
    else if (fputs(line, e->out) < 0 || fputc('\n', e->out) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot write records");
    e->written += !status;
    free(line);
    json_decref(json);
    return status;
}

static lcf_status collect_key(void *arg, const lcf_cot_record *r, lcf_err *err)
{
    exporter *e = arg;

    if (lcf_grow((void **)&e->keys, &e->capacity, e->n + 1, sizeof(*e->keys)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu keys", e->n + 1);
    e->keys[e->n++] = (ranked){lcf_hash64(r->key.bytes, sizeof(r->key.bytes), e->seed), r->key};
    return LCF_OK;
}

static int compare_hash(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    return (x->hash > y->hash) - (x->hash < y->hash);
}

static lcf_status write_some(exporter *e, lcf_cot_store *store, size_t limit, lcf_err *err)
{
    lcf_status status = lcf_cot_store_each(store, collect_key, e, err);

    if (status)
        return status;
    qsort(e->keys, e->n, sizeof(*e->keys), compare_hash);
    for (size_t i = 0; i < e->n && i < limit && !status; i++) {
        lcf_cot_record *r = NULL;
        status = lcf_cot_store_get(&r, store, e->keys[i].key, err);
        if (!status)
            status = write_record(e, r, err);
        free(r);
    }
    return status;
}

lcf_status lcf_cot_export(FILE *out, uint64_t *written, const char *store_dir, size_t limit,
                          uint64_t seed, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    exporter e = {.out = out, .seed = seed};
    lcf_cot_store *store = NULL;
    lcf_status status = lcf_cot_store_open(&store, store_dir, &options, err);

    if (!status && limit)
        status = write_some(&e, store, limit, err);
    else if (!status)
        status = lcf_cot_store_each(store, write_record, &e, err);
    if (!status && fflush(out))
        status = LCF_FAIL_ERRNO(err, "cannot write records");
    *written = e.written;
    free(e.keys);
    lcf_cot_store_close(store);
    return status;
}
