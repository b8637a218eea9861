/*
 * The encode step. Invariant: the vectors of cots.lcf are in key order, which is the order of the
 * store, and those of items.lcf in item order with zeros for the unknown item.
 */
#include "offline/encode/steps.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/store/cot_store.h"
#include "offline/encode/texts.h"

#include <stdlib.h>
#include <string.h>

enum { TEXTS_PER_STEP = 1024 }; /* encoded between two updates of the progress bar */

typedef struct encode_step {
    const lcf_encode_options *o;
    lcf_manifest *manifest;
    lcf_dataset dataset;
    lcf_cot_store *store;
    encode_texts texts; /* of items, then of records */
    size_t items_n;
    lcf_hash128 *keys; /* of the records */
    size_t keys_capacity, records_n, rejected_n;
    float *vectors;
    lcf_encoder *encoder;
    lcf_embeddings before; /* vectors of records that the encoder made earlier, or none */
    size_t encoded_n;
    lcf_pool *pool;
} encode_step;

static lcf_status gather_items(encode_step *s, lcf_err *err)
{
    lcf_status status = LCF_OK;

    s->items_n = s->dataset.catalogue.items_n;
    for (uint32_t i = 0; i < s->items_n && !status; i++) {
        if (i)
            lcf_catalogue_item_text(&s->texts.bytes, &s->dataset.catalogue, i);
        status = encode_texts_end(&s->texts, err);
    }
    return status;
}

static lcf_status gather_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    encode_step *s = arg;

    if (record->score == 0) {
        s->rejected_n++;
        return LCF_OK;
    }
    if (lcf_grow((void **)&s->keys, &s->keys_capacity, s->records_n + 1, sizeof(*s->keys)))
        return LCF_FAIL(err, LCF_ENOMEM, "keys of %zu records", s->records_n + 1);
    s->keys[s->records_n++] = record->key;
    lcf_buf_append_text(&s->texts.bytes, record->text);
    return encode_texts_end(&s->texts, err);
}

/* The row of `before` that holds a text's vector, or (size_t)-1. */
static size_t known_row(const encode_step *s, size_t text)
{
    return s->before.n && text >= s->items_n
               ? lcf_embeddings_find(&s->before, s->keys[text - s->items_n])
               : (size_t)-1;
}

/* Copies the vectors of the texts from `at` on that are known; returns the first that is not. */
static size_t copy_known(const encode_step *s, size_t at)
{
    const size_t dim = lcf_encoder_dim(s->encoder);
    size_t row;

    for (; at < s->texts.n && (row = known_row(s, at)) != (size_t)-1; at++)
        memcpy(s->vectors + at * dim, s->before.vectors + row * dim, dim * sizeof(*s->vectors));
    return at;
}

/* How many texts from `at` on are not known, up to a step's. */
static size_t count_new(const encode_step *s, size_t at)
{
    size_t n = 0;

    while (n < TEXTS_PER_STEP && at + n < s->texts.n && known_row(s, at + n) == (size_t)-1)
        n++;
    return n;
}

static lcf_status encode_all(encode_step *s, lcf_err *err)
{
    size_t dim = lcf_encoder_dim(s->encoder), floats;
    lcf_progress progress;
    lcf_status status = LCF_OK;

    if (lcf_mul_size(&floats, s->texts.n, dim))
        s->vectors = lcf_alloc_aligned(floats, sizeof(*s->vectors));
    if (!s->vectors)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu vectors of %zu", s->texts.n, dim);
    lcf_progress_start(&progress, "encode", "texts", s->texts.n);
    for (size_t at = 0; !status && (at = copy_known(s, at)) < s->texts.n;) {
        const size_t n = count_new(s, at);

        status = lcf_encoder_encode(s->vectors + at * dim, s->encoder, s->texts.views + at, n,
                                    s->pool, err);
        s->encoded_n += n;
        at += n;
        lcf_progress_update(&progress, at);
        if (!status && lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped by a signal; nothing was written");
    }
    lcf_progress_end(&progress);
    return status;
}

static lcf_status save(const encode_step *s, const char *dir, const char *name, size_t begin,
                       size_t n, const lcf_hash128 *keys, lcf_err *err)
{
    const size_t dim = lcf_encoder_dim(s->encoder);
    char *path = lcf_path_join(dir, name);
    lcf_status status = path
                            ? lcf_embeddings_save(path, s->vectors + begin * dim, keys, n, dim, err)
                            : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

static lcf_status save_encoder(const encode_step *s, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "encoder.lcf");
    lcf_status status = path ? lcf_encoder_save(s->encoder, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

static json_t *stats_of(const encode_step *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "items", (json_int_t)(s->items_n - 1), "records",
                     (json_int_t)s->records_n, "rejected", (json_int_t)s->rejected_n, "encoded",
                     (json_int_t)(s->encoded_n - 1), "dimensions",
                     (json_int_t)lcf_encoder_dim(s->encoder));
}

static lcf_status write_files(const encode_step *s, const char *dir, lcf_err *err)
{
    lcf_status status = save_encoder(s, dir, err);

    if (!status)
        status = save(s, dir, "items.lcf", 0, s->items_n, NULL, err);
    if (!status && s->store)
        status = save(s, dir, "cots.lcf", s->items_n, s->records_n, s->keys, err);
    return status ? status : lcf_manifest_stat(s->manifest, "counts", stats_of(s), err);
}

static lcf_status write_all(const encode_step *s, lcf_err *err)
{
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, s->o->out_dir, err);

    if (!status)
        status = write_files(s, lcf_stage_path(stage), err);
    return lcf_manifest_finish(s->manifest, stage, status, err);
}

/* The lexical encoder's options; of a named one its file says it all. */
static json_t *params_of(const lcf_encode_options *o, const char *digest)
{
    const lcf_lexical_options *l = &o->lexical;

    return o->encoder
               ? json_pack("{s:s, s:s}", "cot_records", digest, "encoder", "bert")
               : json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "cot_records", digest, "encoder",
                           "lexical", "dim", (json_int_t)l->dim, "bits", (json_int_t)l->bits,
                           "iterations", (json_int_t)l->iterations, "seed", (json_int_t)l->seed,
                           "texts_max", (json_int_t)l->texts_max);
}

static lcf_status describe(encode_step *s, lcf_err *err)
{
    const lcf_input inputs[] = {
        {"dataset", s->o->dataset_dir}, {"encoder_model", s->o->encoder}, {NULL, NULL}};
    char digest[LCF_SHA256_HEX_BYTES] = "none";
    const lcf_status status = s->store ? lcf_cot_store_digest(digest, s->store, err) : LCF_OK;

    return status ? status
                  : lcf_manifest_describe(&s->manifest, "encode", params_of(s->o, digest), inputs,
                                          err);
}

/* Whether the encoder that is there was fitted with these options, if on other texts, or is the one
 * that was named; then what is made with it names it. */
static lcf_status describe_reuse(bool *reuse, encode_step *s, lcf_err *err)
{
    static const char *const data[] = {"dataset", "cot_records", "encoder_file", NULL};
    char *path = lcf_path_join(s->o->out_dir, "encoder.lcf");
    lcf_status status = path ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path of encoder.lcf");

    *reuse = !status && s->o->reuse && lcf_path_exists(path) &&
             lcf_manifest_is_like(s->manifest, s->o->out_dir, data);
    if (*reuse)
        status = lcf_manifest_input(s->manifest, "encoder_file", path, err);
    free(path);
    return status;
}

static lcf_status open_earlier(encode_step *s, lcf_err *err)
{
    char *encoder = lcf_path_join(s->o->out_dir, "encoder.lcf");
    char *cots = lcf_path_join(s->o->out_dir, "cots.lcf");
    lcf_status status = encoder && cots ? lcf_encoder_open(&s->encoder, encoder, err)
                                        : LCF_FAIL(err, LCF_ENOMEM, "paths of the vectors");

    if (!status && lcf_path_exists(cots))
        status = lcf_embeddings_open(&s->before, cots, err);
    if (!status && s->before.n && (s->before.dim != lcf_encoder_dim(s->encoder) || !s->before.keys))
        status = LCF_FAIL(
            err, LCF_EFORMAT,
            "%s: not of the encoder beside it, or without keys: encode without --reuse", cots);
    free(encoder);
    free(cots);
    return status;
}

static lcf_status open_bert(encode_step *s, lcf_err *err)
{
    lcf_status status = lcf_encoder_open(&s->encoder, s->o->encoder, err);

    if (!status && !lcf_encoder_is_bert(s->encoder)) /* the manifest says that it is one */
        status = LCF_FAIL(err, LCF_EUNSUPPORTED, "%s is no BERT in a GGUF file", s->o->encoder);
    return status;
}

static lcf_status make(encode_step *s, bool reuse, lcf_err *err)
{
    lcf_status status = lcf_dataset_open(&s->dataset, s->o->dataset_dir, err);

    if (!status)
        status = gather_items(s, err);
    if (!status && s->store)
        status = lcf_cot_store_each(s->store, gather_record, s, err);
    if (!status)
        status = encode_texts_views(&s->texts, err);
    if (!status)
        status = lcf_pool_create(&s->pool, s->o->threads, err);
    if (!status && reuse)
        status = open_earlier(s, err);
    else if (!status && s->o->encoder)
        status = open_bert(s, err);
    else if (!status)
        status = lcf_encoder_fit_lexical(&s->encoder, s->texts.views + 1, s->texts.n - 1,
                                         &s->o->lexical, s->pool, err);
    if (!status)
        status = encode_all(s, err);
    return status ? status : write_all(s, err);
}

static void encode_dispose(encode_step *s)
{
    lcf_pool_free(s->pool);
    lcf_encoder_free(s->encoder);
    lcf_embeddings_close(&s->before);
    lcf_cot_store_close(s->store);
    lcf_dataset_close(&s->dataset);
    lcf_manifest_free(s->manifest);
    encode_texts_dispose(&s->texts);
    free(s->keys);
    free(s->vectors);
}

lcf_status lcf_encode_run(json_t **stats, bool *current, const lcf_encode_options *options,
                          lcf_err *err)
{
    encode_step s = {.o = options};
    lcf_cot_store_options reading = LCF_COT_STORE_OPTIONS_INIT;
    bool reuse = false;
    lcf_status status = LCF_OK;

    *stats = NULL;
    if (options->cot_dir)
        status = lcf_cot_store_open(&s.store, options->cot_dir, &reading, err);
    if (!status)
        status = describe(&s, err);
    *current = !status && !options->force && lcf_manifest_is_current(s.manifest, options->out_dir);
    if (!status && !*current && !options->force) {
        status = describe_reuse(&reuse, &s, err);
        *current = reuse && lcf_manifest_is_current(s.manifest, options->out_dir);
    }
    if (*current)
        status = lcf_manifest_read_stat(stats, options->out_dir, "counts", err);
    else if (!status)
        status = make(&s, reuse, err);
    if (!status && !*current)
        *stats = stats_of(&s);
    encode_dispose(&s);
    return status;
}
