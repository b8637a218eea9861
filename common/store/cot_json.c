/* CoT records as JSON lines: see cot_json.h. */
#include "common/store/cot_json.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX ((size_t)8 << 20) /* a record of 1 MiB with every byte escaped */

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

json_t *lcf_cot_record_to_json(const lcf_cot_record *r)
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
    json_t *json = lcf_cot_record_to_json(r);
    char *line = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
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

/* ---- reading ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static lcf_status get_hash(lcf_hash128 *out, const json_t *json, const char *name, lcf_err *err)
{
    const char *text;
    lcf_status status = lcf_json_str(&text, json, name, err);
    bool bad = !status && strlen(text) != 2 * sizeof(out->bytes);

    for (size_t i = 0; !status && !bad && i < sizeof(out->bytes); i++) {
        const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        bad = high < 0 || low < 0;
        out->bytes[i] = bad ? 0 : (uint8_t)(high << 4 | low);
    }
    return bad ? LCF_FAIL(err, LCF_EFORMAT, "%s is not 32 hexadecimal digits", name) : status;
}

static lcf_status get_u32(uint32_t *out, const json_t *json, const char *name, lcf_err *err)
{
    uint64_t value = 0;
    lcf_status status = lcf_json_u64(&value, json, name, err);

    if (!status && value > UINT32_MAX)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s is out of range", name);
    *out = (uint32_t)value;
    return status;
}

static lcf_status get_f32(float *out, const json_t *json, const char *name, lcf_err *err)
{
    double value = 0.0;
    lcf_status status = lcf_json_f64(&value, json, name, err);

    *out = (float)value;
    if (!status && !isfinite(*out))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s is out of range", name);
    return status;
}

static lcf_status get_texts(lcf_cot_record *r, const json_t *json, lcf_err *err)
{
    const struct {
        const char *name, **out;
    } texts[] = {{"user_id", &r->user_id},  {"item_id", &r->item_id},
                 {"text", &r->text},        {"reject_reason", &r->reject_reason},
                 {"model", &r->model_id},   {"prompt", &r->prompt_version},
                 {"sampling", &r->sampling}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !status; i++)
        status = lcf_json_str(texts[i].out, json, texts[i].name, err);
    return status;
}

static lcf_status get_numbers(lcf_cot_record *r, const json_t *json, lcf_err *err)
{
    static const char *const parts[LCF_COT_PARTS_N] = {"coherence", "completeness", "relevance",
                                                       "consistency"};
    const json_t *scores = json_object_get(json, "parts"), *time = json_object_get(json, "time");
    const struct {
        const char *name;
        uint32_t *out;
    } counts[] = {{"label", &r->label},
                  {"candidate", &r->candidate},
                  {"candidates", &r->candidates_n},
                  {"prompt_tokens", &r->prompt_tokens},
                  {"tokens", &r->tokens}};
    lcf_status status = lcf_json_u64(&r->tokens_generated, json, "tokens_generated", err);

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && !status; i++)
        status = get_u32(counts[i].out, json, counts[i].name, err);
    if (!status)
        status = get_f32(&r->score, json, "score", err);
    if (!status && !json_is_object(scores))
        status = LCF_FAIL(err, LCF_EFORMAT, "parts is missing or no object");
    for (size_t i = 0; i < LCF_COT_PARTS_N && !status; i++)
        status = get_f32(&r->parts[i], scores, parts[i], err);
    if (!status && !json_is_integer(time))
        status = LCF_FAIL(err, LCF_EFORMAT, "time is missing or no whole number");
    r->time = json_integer_value(time);
    return status;
}

lcf_status lcf_cot_record_of_json(lcf_cot_record *out, const json_t *json, lcf_err *err)
{
    lcf_status status = get_hash(&out->key, json, "key", err);

    if (!status)
        status = get_hash(&out->sample_hash, json, "sample", err);
    if (!status)
        status = get_texts(out, json, err);
    if (!status)
        status = get_numbers(out, json, err);
    return status;
}

static lcf_status import_line(lcf_cot_merger *m, const char *line, size_t n, const char *source,
                              lcf_err *err)
{
    lcf_cot_record record = {0};
    json_t *json = NULL;
    lcf_status status;

    if (n > LINE_BYTES_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: longer than %zu bytes", source, LINE_BYTES_MAX);
    status = lcf_json_parse(&json, line, n, source, err);
    if (status)
        return status;
    status = lcf_cot_record_of_json(&record, json, err);
    if (!status)
        status = lcf_cot_merger_add(m, &record, err);
    if (status)
        lcf_err_prefix(err, "%s", source);
    json_decref(json);
    return status;
}

/* The next line with its end, or what fits of it and one byte more; 0 where there is none. */
static size_t next_line(char *line, FILE *in)
{
    size_t n = 0;

    for (int c = 0; n <= LINE_BYTES_MAX && c != '\n' && (c = getc_unlocked(in)) != EOF;)
        line[n++] = (char)c;
    return n;
}

lcf_status lcf_cot_import(lcf_cot_merge_counts *out, lcf_cot_store *to, FILE *in, const char *name,
                          lcf_cot_conflict conflict, void *arg, lcf_err *err)
{
    char *line = lcf_alloc(LINE_BYTES_MAX + 1, 1);
    size_t n, line_n = 0;
    lcf_cot_merger *m = NULL;
    lcf_status ended, status = line ? lcf_cot_merger_begin(&m, to, conflict, arg, err)
                                    : LCF_FAIL(err, LCF_ENOMEM, "a line of %s", name);

    while (!status && (n = next_line(line, in)) > 0) {
        lcf_buf source = LCF_BUF_INIT;

        lcf_buf_printf(&source, "%s:%zu", name, ++line_n);
        if (n > 1) /* an empty line is fine */
            status = import_line(m, line, n, lcf_buf_text(&source), err);
        lcf_buf_dispose(&source);
    }
    if (!status && ferror(in))
        status = LCF_FAIL_ERRNO(err, "cannot read %s", name);
    ended = lcf_cot_merger_end(out, m, status != LCF_OK, err);
    free(line);
    return status ? status : ended;
}

/* ---- in numbers ---- */

typedef struct summary { /* what one walk over all heads gathers */
    json_t *reasons;
    lcf_buf digest;
} summary;

/* Counts a record under its reason of rejection; "" is "kept". */
static lcf_status sum_up(void *arg, const lcf_cot_head *head, lcf_err *err)
{
    summary *s = arg;
    const char *reason = *head->reject_reason ? head->reject_reason : "kept";
    const json_int_t n = json_integer_value(json_object_get(s->reasons, reason));

    lcf_cot_digest_add(&s->digest, head);
    return json_object_set_new(s->reasons, reason, json_integer(n + 1))
               ? LCF_FAIL(err, LCF_ENOMEM, "counts of reasons")
               : LCF_OK;
}

static json_t *stats_json(const lcf_cot_store_stats *s, const char *digest, json_t *reasons)
{
    const double ratio = s->stored_bytes ? (double)s->raw_bytes / (double)s->stored_bytes : 0.0;

    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:s, s:O}", "records", (json_int_t)s->records_n,
                     "raw_bytes", (json_int_t)s->raw_bytes, "stored_bytes",
                     (json_int_t)s->stored_bytes, "dictionaries", (json_int_t)s->dictionaries_n,
                     "ratio", ratio, "digest", digest, "reasons", reasons);
}

lcf_status lcf_cot_stats_json(json_t **out, lcf_cot_store *store, lcf_err *err)
{
    summary all = {json_object(), LCF_BUF_INIT};
    lcf_cot_store_stats s;
    char digest[LCF_SHA256_HEX_BYTES];
    lcf_status status = all.reasons ? lcf_cot_store_stat(&s, store, err)
                                    : LCF_FAIL(err, LCF_ENOMEM, "counts of reasons");

    *out = NULL;
    if (!status)
        status = lcf_cot_store_each_head(store, sum_up, &all, err);
    if (!status)
        status = lcf_cot_digest_end(digest, &all.digest, err);
    if (!status)
        *out = stats_json(&s, digest, all.reasons);
    if (!status && !*out)
        status = LCF_FAIL(err, LCF_ENOMEM, "JSON of the store");
    lcf_buf_dispose(&all.digest);
    json_decref(all.reasons);
    return status;
}
