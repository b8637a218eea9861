/*
 * The lexical encoder: TF-IDF over hashed n-grams, projected on the right singular vectors of the
 * texts it was fitted on, scaled to unit length. Fitting and saving are here; reading and encoding
 * are shared with the online side (common/text/text_encoder.h).
 */
#include "offline/encode/encoder.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/text/text_encoder.h"
#include "offline/encode/svd.h"
#include "offline/llama/bert.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXTS_PER_TASK = 64,
    FREQUENT_FROM = 1000, /* texts from which on an n-gram must occur in two of them */
};

struct lcf_encoder {
    lcf_text_encoder lexical;
    struct { /* the arrays of one that was fitted here */
        uint32_t *rows;
        float *idf, *components, *sigma;
    } owned;
    size_t dim;
    lcf_bert *bert; /* then there is no lexical one */
};

void lcf_encoder_free(lcf_encoder *e)
{
    if (!e)
        return;
    lcf_text_encoder_close(&e->lexical);
    lcf_bert_close(e->bert);
    free(e->owned.rows);
    free(e->owned.idf);
    free(e->owned.components);
    free(e->owned.sigma);
    free(e);
}

size_t lcf_encoder_dim(const lcf_encoder *e)
{
    return e->dim;
}

bool lcf_encoder_is_bert(const lcf_encoder *e)
{
    return e->bert != NULL;
}

static size_t tasks_of(size_t n)
{
    return (n + TEXTS_PER_TASK - 1) / TEXTS_PER_TASK;
}

/* One scratch per thread. */
static lcf_status scratch_create(lcf_features **out, size_t threads, uint32_t bits, lcf_err *err)
{
    lcf_features *f = lcf_alloc_zero(threads, sizeof(*f));
    lcf_status status = f ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "scratch of %zu threads", threads);

    for (size_t i = 0; i < threads && !status; i++)
        status = lcf_features_init(&f[i], bits, err);
    *out = f;
    return status;
}

static void scratch_free(lcf_features *f, size_t threads)
{
    for (size_t i = 0; f && i < threads; i++)
        lcf_features_dispose(&f[i]);
    free(f);
}

/* ---- fitting ---- */

/* The features of the texts of one task. */
typedef struct counted {
    uint32_t *bucket;
    float *weight;
    size_t bucket_capacity, weight_capacity, n;
    size_t end[TEXTS_PER_TASK]; /* of each text */
} counted;

typedef struct fitting {
    const lcf_str *texts;
    size_t texts_n, fitted_n; /* every texts_n / fitted_n-th text takes part */
    lcf_features *scratch;    /* [threads] */
    counted *counted;         /* [tasks] */
    lcf_encoder *encoder;
    /* the matrix, one row per fitted text */
    uint64_t *begin;
    uint32_t *col;
    float *value;
    lcf_pool *pool;
} fitting;

static size_t task_texts(size_t n, size_t task)
{
    size_t left = n - task * TEXTS_PER_TASK;

    return left < TEXTS_PER_TASK ? left : TEXTS_PER_TASK;
}

static lcf_str fitted_text(const fitting *f, size_t i)
{
    return f->texts[(size_t)((unsigned __int128)i * f->texts_n / f->fitted_n)];
}

static lcf_status count_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    fitting *f = arg;
    counted *c = &f->counted[task];
    lcf_features *features = &f->scratch[worker];

    for (size_t i = 0; i < task_texts(f->fitted_n, task); i++) {
        lcf_status status =
            lcf_features_of(features, fitted_text(f, task * TEXTS_PER_TASK + i), err);
        size_t wanted = c->n + features->n;
        if (status)
            return status;
        if (lcf_grow((void **)&c->bucket, &c->bucket_capacity, wanted, sizeof(*c->bucket)) ||
            lcf_grow((void **)&c->weight, &c->weight_capacity, wanted, sizeof(*c->weight)))
            return LCF_FAIL(err, LCF_ENOMEM, "features of %d texts", TEXTS_PER_TASK);
        if (features->n) {
            memcpy(c->bucket + c->n, features->bucket, features->n * sizeof(*c->bucket));
            memcpy(c->weight + c->n, features->weight, features->n * sizeof(*c->weight));
        }
        c->n = wanted;
        c->end[i] = wanted;
    }
    return LCF_OK;
}

/* Which buckets are used, and the weight of each: ln((1 + n) / (1 + df)) + 1. */
static lcf_status choose_rows(fitting *f, lcf_err *err)
{
    lcf_encoder *e = f->encoder;
    size_t buckets = (size_t)1 << e->lexical.bits, row = 0;
    uint32_t least = f->fitted_n >= FREQUENT_FROM ? 2 : 1;
    uint32_t *df = e->lexical.row_of;

    for (size_t t = 0; t < tasks_of(f->fitted_n); t++)
        for (size_t i = 0; i < f->counted[t].n; i++)
            df[f->counted[t].bucket[i]]++;
    for (size_t b = 0; b < buckets; b++)
        e->lexical.rows_n += df[b] >= least;
    if (!e->lexical.rows_n)
        return LCF_FAIL(err, LCF_EINVAL, "no word in any of %zu texts", f->fitted_n);
    e->owned.rows = lcf_alloc(e->lexical.rows_n, sizeof(*e->owned.rows));
    e->owned.idf = lcf_alloc(e->lexical.rows_n, sizeof(*e->owned.idf));
    if (!e->owned.rows || !e->owned.idf)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu n-gram weights", e->lexical.rows_n);
    for (size_t b = 0; b < buckets; b++) {
        if (df[b] < least) {
            df[b] = 0;
            continue;
        }
        e->owned.rows[row] = (uint32_t)b;
        e->owned.idf[row] = (float)(log((1.0 + (double)f->fitted_n) / (1.0 + (double)df[b])) + 1.0);
        df[b] = (uint32_t)++row;
    }
    return LCF_OK;
}

/* begin[] of the matrix: how many known features each text has. */
static lcf_status matrix_shape(fitting *f, lcf_err *err)
{
    size_t text = 0, entries = 0;

    f->begin = lcf_alloc(f->fitted_n + 1, sizeof(*f->begin));
    if (!f->begin)
        return LCF_FAIL(err, LCF_ENOMEM, "matrix of %zu texts", f->fitted_n);
    for (size_t t = 0; t < tasks_of(f->fitted_n); t++) {
        const counted *c = &f->counted[t];
        for (size_t i = 0, at = 0; i < task_texts(f->fitted_n, t); i++) {
            f->begin[text++] = entries;
            for (; at < c->end[i]; at++)
                entries += f->encoder->lexical.row_of[c->bucket[at]] != 0;
        }
    }
    f->begin[text] = entries;
    f->col = lcf_alloc(entries + 1, sizeof(*f->col));
    f->value = lcf_alloc(entries + 1, sizeof(*f->value));
    return f->col && f->value ? LCF_OK
                              : LCF_FAIL(err, LCF_ENOMEM, "matrix of %zu entries", entries);
}

static lcf_status matrix_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    fitting *f = arg;
    const lcf_encoder *e = f->encoder;
    counted *c = &f->counted[task];

    (void)worker;
    (void)err;
    for (size_t i = 0, at = 0; i < task_texts(f->fitted_n, task); i++) {
        uint64_t begin = f->begin[task * TEXTS_PER_TASK + i], to = begin;
        for (; at < c->end[i]; at++) {
            uint32_t row = e->lexical.row_of[c->bucket[at]];
            if (!row)
                continue;
            f->col[to] = row - 1;
            f->value[to++] = c->weight[at] * e->owned.idf[row - 1];
        }
        lcf_normalize(f->value + begin, (size_t)(to - begin));
    }
    free(c->bucket);
    free(c->weight);
    memset(c, 0, sizeof(*c));
    return LCF_OK;
}

static lcf_status decompose(fitting *f, const lcf_lexical_options *options, lcf_err *err)
{
    lcf_encoder *e = f->encoder;
    lcf_sparse a = {f->fitted_n, e->lexical.rows_n, f->begin, f->col, f->value};
    size_t floats;

    if (lcf_mul_size(&floats, e->lexical.rows_n, e->dim))
        e->owned.components = lcf_alloc_aligned(floats, sizeof(float));
    e->owned.sigma = lcf_alloc_zero(e->dim, sizeof(float));
    if (!e->owned.components || !e->owned.sigma)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu components of %zu n-grams", e->dim,
                        e->lexical.rows_n);
    e->lexical.rows = e->owned.rows;
    e->lexical.idf = e->owned.idf;
    e->lexical.components = e->owned.components;
    e->lexical.sigma = e->owned.sigma;
    return lcf_svd_truncated(e->owned.components, e->owned.sigma, &a, e->dim, options->iterations,
                             options->seed, f->pool, err);
}

static lcf_status encoder_create(lcf_encoder **out, size_t dim, uint32_t bits, lcf_err *err)
{
    lcf_encoder *e = lcf_alloc_zero(1, sizeof(*e));
    lcf_status status = e ? lcf_text_encoder_init(&e->lexical, dim, bits, err)
                          : LCF_FAIL(err, LCF_ENOMEM, "encoder");

    *out = NULL;
    if (status) {
        lcf_encoder_free(e);
        return status;
    }
    e->dim = dim;
    *out = e;
    return LCF_OK;
}

static void fitting_dispose(fitting *f)
{
    for (size_t t = 0; f->counted && t < tasks_of(f->fitted_n); t++) {
        free(f->counted[t].bucket);
        free(f->counted[t].weight);
    }
    free(f->counted);
    scratch_free(f->scratch, lcf_pool_threads(f->pool));
    free(f->begin);
    free(f->col);
    free(f->value);
}

lcf_status lcf_encoder_fit_lexical(lcf_encoder **out, const lcf_str *texts, size_t n,
                                   const lcf_lexical_options *options, lcf_pool *pool, lcf_err *err)
{
    fitting f = {.texts = texts, .texts_n = n, .fitted_n = n, .pool = pool};
    lcf_status status;

    *out = NULL;
    if (options->texts_max && n > options->texts_max)
        f.fitted_n = options->texts_max;
    if (!n)
        return LCF_FAIL(err, LCF_EINVAL, "no text to fit an encoder on");
    status = encoder_create(&f.encoder, options->dim, options->bits, err);
    if (!status)
        status = scratch_create(&f.scratch, lcf_pool_threads(pool), options->bits, err);
    if (status)
        goto done;
    f.counted = lcf_alloc_zero(tasks_of(f.fitted_n), sizeof(*f.counted));
    if (!f.counted) {
        status = LCF_FAIL(err, LCF_ENOMEM, "features of %zu texts", f.fitted_n);
        goto done;
    }
    status = lcf_pool_run(pool, tasks_of(f.fitted_n), count_task, &f, err);
    if (!status)
        status = choose_rows(&f, err);
    if (!status)
        status = matrix_shape(&f, err);
    if (!status)
        status = lcf_pool_run(pool, tasks_of(f.fitted_n), matrix_task, &f, err);
    if (!status)
        status = decompose(&f, options, err);
    if (!status) {
        *out = f.encoder;
        f.encoder = NULL;
    }
done:
    lcf_encoder_free(f.encoder);
    fitting_dispose(&f);
    return status;
}

/* ---- encoding ---- */

typedef struct encoding {
    const lcf_encoder *e;
    const lcf_str *texts;
    size_t n;
    float *out;
    lcf_features *scratch;
} encoding;

static lcf_status encode_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    encoding *c = arg;
    const lcf_encoder *e = c->e;
    lcf_features *f = &c->scratch[worker];

    lcf_status status = LCF_OK;

    for (size_t i = 0; i < task_texts(c->n, task) && !status; i++) {
        const size_t text = task * TEXTS_PER_TASK + i;

        status =
            lcf_text_encoder_encode(c->out + text * e->dim, &e->lexical, f, c->texts[text], err);
    }
    return status;
}

lcf_status lcf_encoder_encode(float *out, const lcf_encoder *e, const lcf_str *texts, size_t n,
                              lcf_pool *pool, lcf_err *err)
{
    encoding c = {.e = e, .texts = texts, .n = n, .out = out};
    lcf_status status;

    if (e->bert)
        return lcf_bert_encode(out, e->bert, texts, n, pool, err);
    status = scratch_create(&c.scratch, lcf_pool_threads(pool), e->lexical.bits, err);
    if (!status)
        status = lcf_pool_run(pool, tasks_of(n), encode_task, &c, err);
    scratch_free(c.scratch, lcf_pool_threads(pool));
    return status;
}

/* ---- the file ---- */

static lcf_status save_bert(const lcf_bert *b, const char *path, lcf_err *err)
{
    size_t n;
    const void *bytes = lcf_gguf_bytes(&n, lcf_bert_file(b), 0);

    return lcf_file_write(path, bytes, n, err);
}

lcf_status lcf_encoder_save(const lcf_encoder *e, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    const uint64_t dims[2] = {e->lexical.rows_n, e->dim};
    lcf_status status;

    if (e->bert)
        return save_bert(e->bert, path, err);
    status = lcf_bundle_create(&w, path, LCF_TEXT_ENCODER_KIND, LCF_TEXT_ENCODER_VERSION, err);
    if (!status)
        status = lcf_bundle_add_text(w, "type", "lexical", err);
    if (!status)
        status = lcf_bundle_add_1d(w, "bits", LCF_U32, 1, &e->lexical.bits, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "bucket", LCF_U32, e->lexical.rows_n, e->lexical.rows, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "idf", LCF_F32, e->lexical.rows_n, e->lexical.idf, err);
    if (!status)
        status = lcf_bundle_add(w, "components", LCF_F32, dims, 2, e->lexical.components, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "sigma", LCF_F32, e->dim, e->lexical.sigma, err);
    if (!status) {
        status = lcf_bundle_commit(w, err);
        w = NULL;
    }
    lcf_bundle_abandon(w);
    return status;
}

static lcf_status open_bert(lcf_encoder **out, const char *path, lcf_err *err)
{
    lcf_encoder *e = lcf_alloc_zero(1, sizeof(*e));
    lcf_status status;

    if (!e)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: encoder", path);
    status = lcf_bert_open(&e->bert, path, err);
    if (!status && lcf_gguf_shards_n(lcf_bert_file(e->bert)) > 1)
        status = LCF_FAIL(err, LCF_EUNSUPPORTED,
                          "%s: the encoder lies in %zu files; llmcf quantize makes one of them",
                          path, lcf_gguf_shards_n(lcf_bert_file(e->bert)));
    if (!status) {
        e->dim = lcf_bert_config_of(e->bert)->dim;
        *out = e;
        e = NULL;
    }
    lcf_encoder_free(e);
    return status;
}

static lcf_status open_lexical(lcf_encoder **out, const char *path, lcf_err *err)
{
    lcf_encoder *e = lcf_alloc_zero(1, sizeof(*e));
    lcf_status status = e ? lcf_text_encoder_open(&e->lexical, path, err)
                          : LCF_FAIL(err, LCF_ENOMEM, "%s: encoder", path);

    if (!status) {
        e->dim = e->lexical.dim;
        *out = e;
        e = NULL;
    }
    lcf_encoder_free(e);
    return status;
}

lcf_status lcf_encoder_open(lcf_encoder **out, const char *path, lcf_err *err)
{
    *out = NULL;
    return lcf_text_encoder_is_model(path) ? open_bert(out, path, err)
                                           : open_lexical(out, path, err);
}
