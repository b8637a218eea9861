/*
 * The judge step. Invariant: OUT.partial holds parts of the same inputs and options only (its
 * manifest says which), each whole and of the rows that stand at its place.
 */
#include "offline/recgen/run_judge.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/data/judgements.h"
#include "common/data/predictions.h"
#include "offline/eval/auc.h"
#include "offline/recgen/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART_ROWS = 512,
    CONTEXT_MAX = 2048, /* tokens of a prompt, however large the model's context */
};

typedef struct judging {
    const lcf_judge_options *o;
    lcf_manifest *manifest;
    lcf_dataset d;
    lcf_llama *model;
    lcf_judge *judge;
    lcf_pool *pool;
    char *partial;
    size_t *samples;          /* [n] ascending */
    size_t n, split_begin[4]; /* of samples */
    float *logits;            /* [n] */
    uint64_t *scratch;        /* [2 * n] */
    json_t *stats;
} judging;

/* ---- which rows ---- */

static bool chosen(const judging *g, lcf_split split, size_t sample)
{
    const lcf_hash128 hash = lcf_dataset_sample_hash(&g->d, sample);

    if (split != LCF_TRAIN || g->o->share >= 1.0)
        return true;
    return (double)lcf_hash64(hash.bytes, sizeof(hash.bytes), g->o->seed) < g->o->share * 0x1p64;
}

static lcf_status choose(judging *g, lcf_err *err)
{
    g->samples = lcf_alloc(g->d.samples_n + 1, sizeof(*g->samples));
    g->logits = lcf_alloc(g->d.samples_n + 1, sizeof(*g->logits));
    g->scratch = lcf_alloc(g->d.samples_n + 1, 2 * sizeof(*g->scratch));
    if (!g->samples || !g->logits || !g->scratch)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", g->d.samples_n);
    for (int split = 0; split < 3; split++) {
        for (size_t i = g->d.split_begin[split]; i < g->d.split_begin[split + 1]; i++)
            if (g->o->splits[split] && chosen(g, (lcf_split)split, i))
                g->samples[g->n++] = i;
        g->split_begin[split + 1] = g->n;
    }
    return g->n ? LCF_OK : LCF_FAIL(err, LCF_EINVAL, "%s: no row was chosen", g->o->dataset);
}

/* ---- parts ---- */

static char *part_path(const judging *g, size_t part)
{
    lcf_buf path = LCF_BUF_INIT;

    lcf_buf_printf(&path, "%s/part-%zu.lcf", g->partial, part);
    return lcf_buf_take(&path);
}

/* True when the part is there, whole, and of these rows. */
static bool load_part(judging *g, const char *path, size_t begin, size_t n)
{
    lcf_judgements p;
    bool same;

    if (lcf_judgements_open(&p, path, g->d.samples_n, NULL))
        return false;
    same = p.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = p.row[i] == g->samples[begin + i];
    if (same)
        memcpy(g->logits + begin, p.logit, n * sizeof(*g->logits));
    lcf_judgements_close(&p);
    return same;
}

static lcf_status save_rows(const judging *g, const char *path, size_t begin, size_t n,
                            lcf_err *err)
{
    uint64_t *row = lcf_alloc(n + 1, sizeof(*row));
    const lcf_judgements p = {NULL, n, row, g->logits + begin};
    lcf_status status;

    if (!row)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", n);
    for (size_t i = 0; i < n; i++)
        row[i] = g->samples[begin + i];
    status = lcf_judgements_save(path, &p, err);
    free(row);
    return status;
}

static lcf_status judge_part(judging *g, size_t part, lcf_err *err)
{
    const size_t begin = part * PART_ROWS;
    const size_t n = g->n - begin < PART_ROWS ? g->n - begin : PART_ROWS;
    char *path = part_path(g, part);
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", g->partial);
    if (!load_part(g, path, begin, n)) {
        status = lcf_judge_run(g->logits + begin, g->judge, g->samples + begin, n, g->pool, err);
        if (!status)
            status = save_rows(g, path, begin, n, err);
    }
    free(path);
    return status;
}

static lcf_status judge_all(judging *g, lcf_err *err)
{
    lcf_progress progress;
    lcf_status status = LCF_OK;

    lcf_progress_start(&progress, "judge", "rows", g->n);
    for (size_t part = 0; part * PART_ROWS < g->n && !status; part++) {
        const size_t done = (part + 1) * PART_ROWS;

        if (lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED,
                              "stopped; the rows judged so far are kept, the same command goes on");
        if (!status)
            status = judge_part(g, part, err);
        if (!status)
            lcf_progress_update(&progress, done < g->n ? done : g->n);
    }
    lcf_progress_end(&progress);
    return status;
}

/* ---- the artefact ---- */

static double split_auc(judging *g, int split)
{
    const size_t begin = g->split_begin[split], n = g->split_begin[split + 1] - begin;
    uint8_t *labels = lcf_alloc(n + 1, 1);
    double auc = NAN;

    for (size_t i = 0; labels && i < n; i++)
        labels[i] = g->d.sample_label[g->samples[begin + i]];
    if (labels)
        auc = lcf_auc(g->logits + begin, labels, n, g->scratch);
    free(labels);
    return auc;
}

static lcf_status make_stats(judging *g, lcf_err *err)
{
    int failed = 0;

    g->stats = json_object();
    for (int split = 0; split < 3; split++) {
        const double auc = split_auc(g, split);

        failed |= json_object_set_new(
            g->stats, LCF_SPLIT_NAMES[split],
            json_pack("{s:I, s:o}", "rows",
                      (json_int_t)(g->split_begin[split + 1] - g->split_begin[split]), "auc",
                      isfinite(auc) ? json_real(auc) : json_null()));
    }
    return failed ? LCF_FAIL(err, LCF_ENOMEM, "counts") : LCF_OK;
}

/* The probability of Yes as predictions of a whole split. */
static lcf_status write_predictions(const judging *g, const char *dir, lcf_split split,
                                    lcf_err *err)
{
    const size_t begin = g->split_begin[split], n = g->split_begin[split + 1] - begin;
    float *scores = lcf_alloc(n + 1, sizeof(*scores));
    lcf_status status;

    if (!scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu predictions", n);
    for (size_t i = 0; i < n; i++)
        scores[i] = 1.0f / (1.0f + expf(-g->logits[begin + i]));
    status = lcf_predictions_save_split(dir, &g->d, split, scores, err);
    free(scores);
    return status;
}

static lcf_status write_files(const judging *g, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "judgements.lcf");
    lcf_status status =
        path ? save_rows(g, path, 0, g->n, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    for (int split = LCF_VALID; split <= LCF_TEST && !status; split++)
        if (g->o->splits[split])
            status = write_predictions(g, dir, (lcf_split)split, err);
    free(path);
    return status;
}

static lcf_status write_artefact(judging *g, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = make_stats(g, err);

    if (!status)
        status = lcf_manifest_stat(g->manifest, "counts", json_incref(g->stats), err);
    if (!status)
        status = lcf_stage_open(&stage, g->o->out, err);
    if (!status)
        status = write_files(g, lcf_stage_path(stage), err);
    if (!status)
        status = lcf_manifest_write(g->manifest, lcf_stage_path(stage), err);
    if (status) {
        lcf_stage_abandon(stage);
        return status;
    }
    status = lcf_stage_commit(stage, err);
    return status ? status : lcf_dir_remove(g->partial, err);
}

/* ---- the step ---- */

static lcf_status describe(lcf_manifest **out, const lcf_judge_options *o, lcf_err *err)
{
    char version[LCF_PROMPT_VERSION_BYTES], splits[32] = "";
    lcf_status status = lcf_manifest_create(out, "judge", err);

    lcf_prompt_version(version, &o->prompt);
    for (int split = 0; split < 3; split++)
        if (o->splits[split]) {
            strcat(splits, splits[0] ? "," : "");
            strcat(splits, LCF_SPLIT_NAMES[split]);
        }
    if (!status)
        status = lcf_manifest_input(*out, "dataset", o->dataset, err);
    if (!status)
        status = lcf_manifest_input(*out, "model", o->model, err);
    if (!status)
        status = lcf_manifest_param_str(*out, "prompt", version, err);
    if (!status)
        status = lcf_manifest_param_str(*out, "splits", splits, err);
    if (!status)
        status = lcf_manifest_param_f64(*out, "share", o->share, err);
    if (!status)
        status = lcf_manifest_param_i64(*out, "seed", (int64_t)o->seed, err);
    return status;
}

/* Opens OUT.partial: the one of an earlier run of this identity, or an empty one. */
static lcf_status open_partial(judging *g, lcf_err *err)
{
    lcf_manifest *m = NULL;
    lcf_buf name = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_printf(&name, "%s.partial", g->o->out);
    g->partial = lcf_buf_take(&name);
    if (!g->partial)
        return LCF_FAIL(err, LCF_ENOMEM, "path of %s", g->o->out);
    status = describe(&m, g->o, err);
    if (!status)
        status = lcf_manifest_open_partial(m, g->partial, g->o->force, err);
    lcf_manifest_free(m);
    return status;
}

static lcf_status open_model(judging *g, lcf_err *err)
{
    size_t context;
    lcf_status status = lcf_llama_open(&g->model, g->o->model, err);

    if (status)
        return status;
    context = g->model->config.context_n;
    status = lcf_pool_create(&g->pool, g->o->threads, err);
    return status ? status
                  : lcf_judge_create(&g->judge, g->model, g->model->tokenizer, &g->d, &g->o->prompt,
                                     context < CONTEXT_MAX ? context : CONTEXT_MAX,
                                     lcf_pool_threads(g->pool), err);
}

static lcf_status make(judging *g, lcf_err *err)
{
    lcf_status status = lcf_dataset_open(&g->d, g->o->dataset, err);

    if (!status)
        status = choose(g, err);
    if (!status)
        status = open_model(g, err);
    if (!status)
        status = open_partial(g, err);
    if (!status)
        status = judge_all(g, err);
    return status ? status : write_artefact(g, err);
}

static void dispose(judging *g)
{
    lcf_judge_free(g->judge);
    lcf_pool_free(g->pool);
    lcf_llama_close(g->model);
    lcf_dataset_close(&g->d);
    lcf_manifest_free(g->manifest);
    json_decref(g->stats);
    free(g->partial);
    free(g->samples);
    free(g->logits);
    free(g->scratch);
}

lcf_status lcf_judge_step(json_t **stats, bool *current, const lcf_judge_options *options,
                          lcf_err *err)
{
    judging g = {.o = options};
    lcf_status status = LCF_OK;

    *stats = NULL;
    if (!(options->share > 0.0 && options->share <= 1.0))
        return LCF_FAIL(err, LCF_EUSAGE, "a share of %g; it must be in (0, 1]", options->share);
    status = describe(&g.manifest, options, err);
    *current = !status && !options->force && lcf_manifest_is_current(g.manifest, options->out);
    if (*current)
        status = lcf_manifest_read_stat(stats, options->out, "counts", err);
    else if (!status)
        status = make(&g, err);
    if (!status && !*current)
        *stats = json_incref(g.stats);
    dispose(&g);
    return status;
}
