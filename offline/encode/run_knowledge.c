/*
 * The knowledge step. Invariant: an entry is the mean over records of training rows up to its time,
 * of one user or one item; the time of every entry is that of its latest record.
 */
#include "offline/encode/steps.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/data/knowledge.h"
#include "common/store/cot_store.h"
#include "offline/encode/parts.h"
#include "offline/encode/texts.h"

#include <stdlib.h>
#include <string.h>

/* The parts of one kind, of all examples that have one, in the order of the examples. */
typedef struct part {
    encode_texts texts; /* n of them */
    uint32_t *owner;    /* [n] */
    int64_t *time;      /* [n] */
    float *vectors;     /* [n, dim] as encoded */
    /* by owner */
    uint64_t *begin;
    int64_t *sorted_time;
    float *means;
} part;

typedef struct knowledge_step {
    const lcf_knowledge_options *o;
    lcf_manifest *manifest;
    lcf_dataset dataset;
    lcf_examples examples;
    lcf_cot_store *store;
    lcf_encoder *encoder;
    lcf_pool *pool;
    part profile, target;
} knowledge_step;

/* ---- texts ---- */

static lcf_status part_alloc(part *p, size_t n, lcf_err *err)
{
    p->owner = lcf_alloc(n + 1, sizeof(*p->owner));
    p->time = lcf_alloc(n + 1, sizeof(*p->time));
    if (!p->owner || !p->time)
        return LCF_FAIL(err, LCF_ENOMEM, "texts of %zu examples", n);
    return LCF_OK;
}

static void part_free(part *p)
{
    encode_texts_dispose(&p->texts);
    free(p->owner);
    free(p->time);
    free(p->vectors);
    free(p->begin);
    free(p->sorted_time);
    free(p->means);
}

static lcf_status part_add(part *p, lcf_str text, uint32_t owner, int64_t time, lcf_err *err)
{
    if (!text.len)
        return LCF_OK;
    lcf_buf_append(&p->texts.bytes, text.data, text.len);
    p->owner[p->texts.n] = owner;
    p->time[p->texts.n] = time;
    return encode_texts_end(&p->texts, err);
}

static lcf_status gather(knowledge_step *s, lcf_err *err)
{
    const lcf_examples *e = &s->examples;
    lcf_status status = part_alloc(&s->profile, e->n, err);

    if (!status)
        status = part_alloc(&s->target, e->n, err);
    for (size_t i = 0; i < e->n && !status; i++) {
        lcf_cot_record *record = NULL;
        lcf_cot_parts parts;

        status = lcf_cot_store_get(&record, s->store, e->key[i], err);
        if (status == LCF_ENOTFOUND)
            status = LCF_FAIL(err, status, "%s has no record of example %zu of %s; index again",
                              s->o->cot_dir, i, s->o->examples_dir);
        if (status)
            break;
        parts = lcf_cot_parts_of((lcf_str){record->text, strlen(record->text)},
                                 lcf_strings_get(&s->dataset.catalogue.title, e->item[i]));
        status = part_add(&s->profile, parts.profile, e->user[i], e->time[i], err);
        if (!status)
            status = part_add(&s->target, parts.target, e->item[i], e->time[i], err);
        free(record);
    }
    return status;
}

static lcf_status encode(part *p, const knowledge_step *s, lcf_err *err)
{
    const size_t n = p->texts.n;
    lcf_status status = encode_texts_views(&p->texts, err);

    if (status)
        return status;
    p->vectors = lcf_alloc_aligned(n + 1, lcf_encoder_dim(s->encoder) * sizeof(*p->vectors));
    if (!p->vectors)
        return LCF_FAIL(err, LCF_ENOMEM, "vectors of %zu texts", n);
    return lcf_encoder_encode(p->vectors, s->encoder, p->texts.views, n, s->pool, err);
}

/* ---- by owner, in time ---- */

/* The mean of what came before, and this; in double, so that long runs stay exact. */
static void run_on(float *mean, double *sum, const float *vector, size_t dim, size_t seen)
{
    for (size_t j = 0; j < dim; j++) {
        sum[j] = (seen ? sum[j] : 0.0) + (double)vector[j];
        mean[j] = (float)(sum[j] / (double)(seen + 1));
    }
}

static void fill_means(part *p, size_t owners_n, size_t dim, double *sum, size_t *order)
{
    memset(p->begin, 0, (owners_n + 1) * sizeof(*p->begin));
    for (size_t i = 0; i < p->texts.n; i++)
        p->begin[p->owner[i] + 1]++;
    for (size_t i = 0; i < owners_n; i++)
        p->begin[i + 1] += p->begin[i];
    for (size_t i = 0; i < p->texts.n; i++) /* stable: examples are in the order of time */
        order[p->begin[p->owner[i]]++] = i;
    for (size_t i = owners_n; i > 0; i--) /* back to the beginnings */
        p->begin[i] = p->begin[i - 1];
    p->begin[0] = 0;
    for (size_t at = 0; at < p->texts.n; at++) {
        const size_t from = order[at];

        p->sorted_time[at] = p->time[from];
        run_on(p->means + at * dim, sum, p->vectors + from * dim, dim,
               at - p->begin[p->owner[from]]);
    }
}

static lcf_status sort_part(part *p, size_t owners_n, size_t dim, lcf_err *err)
{
    double *sum = lcf_alloc(dim, sizeof(*sum));
    size_t *order = lcf_alloc(p->texts.n + 1, sizeof(*order));
    lcf_status status = LCF_OK;

    p->begin = lcf_alloc(owners_n + 1, sizeof(*p->begin));
    p->sorted_time = lcf_alloc(p->texts.n + 1, sizeof(*p->sorted_time));
    p->means = lcf_alloc(p->texts.n + 1, dim * sizeof(*p->means));
    if (sum && order && p->begin && p->sorted_time && p->means)
        fill_means(p, owners_n, dim, sum, order);
    else
        status = LCF_FAIL(err, LCF_ENOMEM, "means of %zu texts", p->texts.n);
    free(sum);
    free(order);
    return status;
}

/* ---- the artefact ---- */

static size_t owners_with(const part *p, size_t owners_n)
{
    size_t n = 0;

    for (size_t i = 0; i < owners_n; i++)
        n += p->begin[i + 1] > p->begin[i];
    return n;
}

static json_t *stats_of(const knowledge_step *s)
{
    const lcf_dataset *d = &s->dataset;

    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "records", (json_int_t)s->examples.n, "profiles",
                     (json_int_t)s->profile.texts.n, "descriptions", (json_int_t)s->target.texts.n,
                     "users", (json_int_t)owners_with(&s->profile, d->users_n), "items",
                     (json_int_t)owners_with(&s->target, d->catalogue.items_n));
}

static lcf_known known_of(const part *p, size_t owners_n)
{
    return (lcf_known){owners_n, p->texts.n, p->begin, p->sorted_time, p->means};
}

static lcf_status write_knowledge(const knowledge_step *s, const char *dir, lcf_err *err)
{
    const lcf_knowledge k = {NULL, lcf_encoder_dim(s->encoder),
                             known_of(&s->profile, s->dataset.users_n),
                             known_of(&s->target, s->dataset.catalogue.items_n)};
    char *path = lcf_path_join(dir, "knowledge.lcf");
    lcf_status status =
        path ? lcf_knowledge_save(path, &k, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

static lcf_status write_all(const knowledge_step *s, lcf_err *err)
{
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, s->o->out_dir, err);

    if (!status)
        status = write_knowledge(s, lcf_stage_path(stage), err);
    if (!status)
        status = lcf_manifest_stat(s->manifest, "counts", stats_of(s), err);
    return lcf_manifest_finish(s->manifest, stage, status, err);
}

static lcf_status open_inputs(knowledge_step *s, lcf_err *err)
{
    char *path = lcf_path_join(s->o->vectors_dir, "encoder.lcf");
    lcf_status status = lcf_dataset_open(&s->dataset, s->o->dataset_dir, err);

    if (!status && !path)
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->o->vectors_dir);
    if (!status)
        status = lcf_encoder_open(&s->encoder, path, err);
    if (!status)
        status = lcf_examples_open(&s->examples, s->o->examples_dir, err);
    free(path);
    if (status)
        return status;
    for (size_t i = 0; i < s->examples.n; i++)
        if (s->examples.user[i] >= s->dataset.users_n ||
            s->examples.item[i] >= s->dataset.catalogue.items_n)
            return LCF_FAIL(err, LCF_EINVAL, "%s: example %zu is of another dataset",
                            s->o->examples_dir, i);
    return lcf_pool_create(&s->pool, s->o->threads, err);
}

static lcf_status make(knowledge_step *s, lcf_err *err)
{
    lcf_status status = open_inputs(s, err);
    size_t dim = status ? 0 : lcf_encoder_dim(s->encoder);

    if (!status)
        status = gather(s, err);
    if (!status)
        status = encode(&s->profile, s, err);
    if (!status)
        status = encode(&s->target, s, err);
    if (!status)
        status = sort_part(&s->profile, s->dataset.users_n, dim, err);
    if (!status)
        status = sort_part(&s->target, s->dataset.catalogue.items_n, dim, err);
    return status ? status : write_all(s, err);
}

static lcf_status describe(knowledge_step *s, lcf_err *err)
{
    const lcf_input inputs[] = {{"dataset", s->o->dataset_dir},
                                {"examples", s->o->examples_dir},
                                {"vectors", s->o->vectors_dir},
                                {NULL, NULL}};
    char digest[LCF_SHA256_HEX_BYTES];
    const lcf_status status = lcf_cot_store_digest(digest, s->store, err);

    return status ? status
                  : lcf_manifest_describe(&s->manifest, "knowledge",
                                          json_pack("{s:s}", "cot_records", digest), inputs, err);
}

static void dispose(knowledge_step *s)
{
    lcf_pool_free(s->pool);
    lcf_encoder_free(s->encoder);
    lcf_examples_close(&s->examples);
    lcf_cot_store_close(s->store);
    lcf_dataset_close(&s->dataset);
    lcf_manifest_free(s->manifest);
    part_free(&s->profile);
    part_free(&s->target);
}

lcf_status lcf_knowledge_run(json_t **stats, bool *current, const lcf_knowledge_options *options,
                             lcf_err *err)
{
    knowledge_step s = {.o = options};
    lcf_cot_store_options reading = LCF_COT_STORE_OPTIONS_INIT;
    lcf_status status = lcf_cot_store_open(&s.store, options->cot_dir, &reading, err);

    *stats = NULL;
    if (!status)
        status = describe(&s, err);
    *current = !status && !options->force && lcf_manifest_is_current(s.manifest, options->out_dir);
    if (*current)
        status = lcf_manifest_read_stat(stats, options->out_dir, "counts", err);
    else if (!status)
        status = make(&s, err);
    if (!status && !*current)
        *stats = stats_of(&s);
    dispose(&s);
    return status;
}
