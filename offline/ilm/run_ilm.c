/*
 * The phase 2 step; see the header. Invariant: OUT.partial holds parts of the same inputs and
 * options only (its manifest says which); a seed's seed-N.json is written when all of it is done.
 */
#include "offline/ilm/run_ilm.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/partial.h"
#include "common/base/progress.h"
#include "common/data/predictions.h"
#include "offline/eval/auc.h"
#include "offline/eval/user_auc.h"
#include "offline/ilm/soft_measure.h"
#include "offline/train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const LCF_ILM_ARM_NAMES[LCF_ILM_ARMS_N] = {"text", "mlp", "random", "qformer"};

static const lcf_split SCORED[] = {LCF_VALID, LCF_TEST};
enum { SCORED_N = 2 };

typedef struct scored { /* rows of a split */
    uint32_t *samples;  /* [n] ascending */
    uint64_t *row;      /* [n] the same */
    uint32_t *user;
    uint8_t *label;
    size_t n;
    float *scores; /* [seeds, n] probabilities */
} scored;

typedef struct running {
    const lcf_ilm_options *o;
    lcf_manifest *manifest;
    lcf_dataset d;
    lcf_cf_vectors v;
    lcf_llama *m;
    lcf_ilm_tasks *tasks;
    lcf_soft_form form;
    lcf_pool *pool;
    lcf_encoder *encoder;
    lcf_partial *partial;
    scored splits[SCORED_N];
    json_t *seeds;  /* one object each */
    json_t *report; /* with them */
} running;

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* ---- what it is made from ---- */

/* The Q-Former's weights: `path`, or qformer.lcf in the folder of that name. */
static lcf_status qformer_path(char **out, const char *path, lcf_err *err)
{
    *out = lcf_manifest_exists(path) ? lcf_path_join(path, "qformer.lcf") : lcf_strdup(path);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path of %s", path);
}

static lcf_status describe_numbers(lcf_manifest *m, const lcf_ilm_options *o, lcf_err *err)
{
    const lcf_ilm_train_options *t = &o->train;
    const struct {
        const char *name;
        double value;
    } list[] = {
        {"tokens", (double)o->tokens},
        {"history", (double)o->tasks.history_n},
        {"title", (double)o->tasks.title_bytes_max},
        {"cutoff", (double)o->tasks.cutoff},
        {"steps", (double)t->steps},
        {"warmup", (double)t->warmup},
        {"eval_every", (double)t->eval_every},
        {"patience", (double)t->patience},
        {"batch", (double)t->batch_rows},
        {"valid_rows", (double)t->valid_rows},
        {"schedule", (double)t->schedule},
        {"lr", (double)t->peak_lr},
        {"floor", (double)t->floor_lr},
        {"weight_decay", (double)t->weight_decay},
        {"clip", (double)t->clip_norm},
        {"precision", (double)t->precision},
        {"score_users", o->score_users},
        {"write_rows", (double)o->write_rows},
        {"tokens_max", (double)o->tokens_max},
    };
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(list) / sizeof(*list) && !status; i++)
        status = lcf_manifest_param_f64(m, list[i].name, list[i].value, err);
    for (size_t i = 0; i < LCF_ILM_TASKS_N && !status; i++)
        status = lcf_manifest_param_f64(m, LCF_ILM_TASK_NAMES[i], o->tasks.weights[i], err);
    return status;
}

static lcf_status describe(lcf_manifest **out, const lcf_ilm_options *o, lcf_err *err)
{
    const lcf_input inputs[] = {{"dataset", o->dataset},
                                {"model", o->model},
                                {"ranker", o->ranker},
                                {"qformer", o->qformer},
                                {"encoder", o->encoder},
                                {"prompts", o->tasks.prompts},
                                {NULL, NULL}};
    lcf_status status = lcf_manifest_describe(
        out, "ilm", json_pack("{s:s}", "arm", LCF_ILM_ARM_NAMES[o->arm]), inputs, err);

    if (!status)
        status = describe_numbers(*out, o, err);
    return status ? status : lcf_train_describe_seeds(*out, o->seeds, o->seeds_n, err);
}

static lcf_status check_options(const lcf_ilm_options *o, lcf_err *err)
{
    if (o->arm == LCF_ILM_ARM_QFORMER && !o->qformer)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "the arm qformer needs the Q-Former of phase 1: --qformer DIR");
    if (o->qformer && (o->arm == LCF_ILM_ARM_TEXT || o->arm == LCF_ILM_ARM_MLP))
        return LCF_FAIL(err, LCF_EUSAGE, "the arm %s has no Q-Former", LCF_ILM_ARM_NAMES[o->arm]);
    return lcf_train_check_seeds(o->seeds, o->seeds_n, err);
}

/* ---- inputs ---- */

static lcf_status choose_rows(running *r, lcf_err *err)
{
    for (size_t i = 0; i < SCORED_N; i++) {
        const size_t begin = r->d.split_begin[SCORED[i]], end = r->d.split_begin[SCORED[i] + 1];
        scored *s = &r->splits[i];

        s->samples = lcf_alloc(end - begin + 1, sizeof(*s->samples));
        s->row = lcf_alloc(end - begin + 1, sizeof(*s->row));
        s->user = lcf_alloc(end - begin + 1, sizeof(*s->user));
        s->label = lcf_alloc(end - begin + 1, sizeof(*s->label));
        if (!s->samples || !s->row || !s->user || !s->label)
            return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", end - begin);
        for (size_t at = begin; at < end; at++) {
            if (!lcf_dataset_user_drawn(&r->d, r->d.sample_user[at], r->o->score_users))
                continue;
            s->samples[s->n] = (uint32_t)at;
            s->row[s->n] = at;
            s->user[s->n] = r->d.sample_user[at];
            s->label[s->n++] = r->d.sample_label[at];
        }
        s->scores = lcf_alloc(s->n + 1, r->o->seeds_n * sizeof(*s->scores));
        if (!s->scores)
            return LCF_FAIL(err, LCF_ENOMEM, "%zu scores", s->n);
    }
    return LCF_OK;
}

/* How many soft tokens an entity has. */
static lcf_status tokens_of(size_t *out, const lcf_ilm_options *o, lcf_err *err)
{
    lcf_qformer *q = NULL;
    char *path = NULL;
    lcf_status status;

    *out = o->arm == LCF_ILM_ARM_TEXT ? 0 : o->tokens;
    if (o->arm != LCF_ILM_ARM_QFORMER)
        return LCF_OK;
    status = qformer_path(&path, o->qformer, err);
    if (!status)
        status = lcf_qformer_open(&q, path, err);
    if (!status)
        *out = lcf_qformer_config_of(q)->queries;
    lcf_qformer_free(q);
    free(path);
    return status;
}

static lcf_status open_encoder(running *r, lcf_err *err)
{
    if (!r->o->write_rows)
        return LCF_OK;
    return r->o->encoder ? lcf_encoder_open(&r->encoder, r->o->encoder, err)
                         : lcf_soft_encoder(&r->encoder, r->tasks, &r->form, r->pool, err);
}

static lcf_status open_inputs(running *r, lcf_err *err)
{
    const lcf_ilm_options *o = r->o;
    lcf_ilm_tasks_options tasks = o->tasks;
    size_t tokens = 0, room;
    lcf_status status = lcf_dataset_open(&r->d, o->dataset, err);

    if (!status)
        status = lcf_cf_vectors_open(&r->v, o->ranker, &r->d, err);
    if (!status)
        status = lcf_llama_open(&r->m, o->model, err);
    if (!status)
        status = lcf_pool_create(&r->pool, o->threads, err);
    if (!status)
        status = tokens_of(&tokens, o, err);
    if (status)
        return status;
    room = r->m->config.context_n > o->tokens_max ? r->m->config.context_n - o->tokens_max : 1;
    tasks.cutoff = tasks.cutoff < room ? tasks.cutoff : room;
    r->form = (lcf_soft_form){r->m->tokenizer, &r->d, r->m->config.vocab_n, tokens,
                              tasks.title_bytes_max};
    status = lcf_ilm_tasks_create(&r->tasks, &r->d, &r->v, &tasks, err);
    if (!status)
        status = choose_rows(r, err);
    return status ? status : open_encoder(r, err);
}

/* ---- a seed ---- */

static char *part_path(const running *r, uint64_t seed, const char *end)
{
    lcf_buf path = LCF_BUF_INIT;

    lcf_buf_printf(&path, "%s/seed-%llu%s", lcf_partial_path(r->partial), (unsigned long long)seed,
                   end);
    return lcf_buf_take(&path);
}

/* The Q-Former that a seed begins with: that of phase 1, or random weights of its sizes. */
static lcf_status start_qformer(lcf_qformer **out, const running *r, uint64_t seed, lcf_err *err)
{
    lcf_qformer_config c = LCF_QFORMER_CONFIG_INIT;
    lcf_qformer *known = NULL;
    char *path = NULL;
    lcf_status status = LCF_OK;

    *out = NULL;
    c.vocab = 1; /* no text is read */
    if (r->o->qformer) {
        status = qformer_path(&path, r->o->qformer, err);
        if (!status)
            status = lcf_qformer_open(&known, path, err);
        free(path);
    }
    if (status)
        return status;
    if (r->o->arm == LCF_ILM_ARM_QFORMER) {
        *out = known;
        return LCF_OK;
    }
    if (known)
        c = *lcf_qformer_config_of(known);
    c.queries = (uint32_t)r->o->tokens;
    c.item_dim = (uint32_t)r->v.dim;
    c.item_scale = r->v.scale;
    lcf_qformer_free(known);
    return lcf_qformer_create(out, &c, seed, err);
}

static lcf_status start_adapter(lcf_ilm_adapter **out, const running *r, uint64_t seed,
                                lcf_err *err)
{
    lcf_qformer *q = NULL;
    lcf_status status;

    *out = NULL;
    if (r->o->arm == LCF_ILM_ARM_MLP)
        return lcf_ilm_adapter_mlp(out, r->m, &r->v, r->o->tokens, seed, err);
    status = start_qformer(&q, r, seed, err);
    if (!status)
        status = lcf_ilm_adapter_qformer(out, r->m, &r->v, q, seed, err);
    if (status)
        lcf_qformer_free(q);
    return status;
}

static json_t *curve_json(const lcf_ilm_curve *c)
{
    json_t *points = json_array();
    int failed = !points;

    for (size_t i = 0; i < c->n && !failed; i++)
        failed = json_array_append_new(
            points, json_pack("{s:I, s:f, s:f}", "step", (json_int_t)c->points[i].step, "train",
                              c->points[i].train, "valid", c->points[i].valid));
    if (failed) {
        json_decref(points);
        return NULL;
    }
    return json_pack("{s:I, s:I, s:o, s:o, s:I, s:o}", "steps", (json_int_t)c->steps, "best_step",
                     (json_int_t)c->best_step, "valid_loss", number(c->best), "curve", points,
                     "tokens", (json_int_t)c->tokens, "seconds", number(c->seconds));
}

/* Trains, or takes what an earlier run has trained. */
static lcf_status train_adapter(lcf_ilm_adapter **a, json_t *out, const running *r, uint64_t seed,
                                const char *weights, const char *state, const char *curve,
                                lcf_err *err)
{
    lcf_ilm_train_options o = r->o->train;
    lcf_ilm_trainer *t = NULL;
    lcf_ilm_curve c;
    json_t *json = NULL;
    lcf_status status;

    if (lcf_path_exists(weights) && lcf_path_exists(curve)) {
        status = lcf_ilm_adapter_open(a, weights, err);
        if (!status)
            status = lcf_json_load(&json, curve, err);
    } else {
        o.seed = seed;
        status = start_adapter(a, r, seed, err);
        if (!status)
            status =
                lcf_ilm_trainer_create(&t, r->m, *a, r->tasks, &r->form, &r->v, &o, r->pool, err);
        if (!status)
            status = lcf_ilm_trainer_run(t, state, err);
        if (!status) {
            c = lcf_ilm_trainer_curve(t);
            json = curve_json(&c);
            status = lcf_ilm_adapter_save(*a, weights, err);
        }
        if (!status)
            status = json ? lcf_json_save(curve, json, err)
                          : LCF_FAIL(err, LCF_ENOMEM, "curve of a training");
    }
    lcf_ilm_trainer_free(t);
    if (!status && json_object_set(out, "training", json))
        status = LCF_FAIL(err, LCF_ENOMEM, "report");
    json_decref(json);
    return status;
}

/* ---- what a seed is worth ---- */

static lcf_status split_figures(json_t **out, const scored *s, const float *scores, size_t users_n,
                                lcf_err *err)
{
    uint64_t *scratch = lcf_alloc(s->n + 1, 2 * sizeof(*scratch));
    lcf_user_auc users = {.uauc = NAN};
    lcf_status status = scratch ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "AUC of %zu rows", s->n);

    *out = NULL;
    if (!status)
        status = lcf_user_auc_compute(&users, NULL, scores, s->label, s->user, s->n, users_n, err);
    if (!status)
        *out = json_pack("{s:I, s:o, s:o, s:I}", "rows", (json_int_t)s->n, "auc",
                         number(lcf_auc(scores, s->label, s->n, scratch)), "uauc",
                         number(users.uauc), "users", (json_int_t)users.users_n);
    free(scratch);
    return status || *out ? status : LCF_FAIL(err, LCF_ENOMEM, "report");
}

static lcf_status score_split(json_t *like, lcf_like_cost *all, running *r, size_t split,
                              size_t seed, const lcf_soft_model *model, lcf_err *err)
{
    const scored *s = &r->splits[split];
    float *scores = s->scores + seed * s->n;
    lcf_like_cost cost;
    json_t *figures = NULL;
    lcf_status status = lcf_soft_like(scores, &cost, model, s->samples, s->n, r->pool, err);

    if (!status)
        status = split_figures(&figures, s, scores, r->d.users_n, err);
    for (size_t i = 0; i < s->n && !status; i++)
        scores[i] = 1.0f / (1.0f + expf(-scores[i]));
    if (!status && json_object_set_new(like, LCF_SPLIT_NAMES[SCORED[split]], figures))
        status = LCF_FAIL(err, LCF_ENOMEM, "report");
    all->rows += cost.rows;
    all->tokens += cost.tokens;
    all->seconds += cost.seconds;
    return status;
}

static lcf_status score_seed(json_t *out, running *r, size_t seed, const lcf_soft_model *model,
                             lcf_err *err)
{
    lcf_like_cost cost = {0, 0, 0};
    json_t *like = json_object();
    lcf_status status = like ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "report");
    double rows;

    for (size_t i = 0; i < SCORED_N && !status; i++)
        status = score_split(like, &cost, r, i, seed, model, err);
    rows = cost.rows ? (double)cost.rows : 1.0;
    if (!status &&
        (json_object_set_new(like, "tokens_per_row", number((double)cost.tokens / rows)) ||
         json_object_set_new(like, "seconds_per_1000_rows", number(1000.0 * cost.seconds / rows)) ||
         json_object_set(out, "like", like)))
        status = LCF_FAIL(err, LCF_ENOMEM, "report");
    json_decref(like);
    return status;
}

/* Mean similarity with an interval over the rows, and the texts themselves. */
static json_t *texts_json(const lcf_soft_text *texts, size_t n, double chance, lcf_ilm_task task)
{
    json_t *list = json_array();
    double sum = 0, squares = 0, mean, error;
    int failed = !list;

    for (size_t i = 0; i < n && !failed; i++) {
        sum += texts[i].similarity;
        squares += texts[i].similarity * texts[i].similarity;
        failed = json_array_append_new(
            list, json_pack("{s:I, s:s, s:s, s:f}", "row", (json_int_t)texts[i].number, "written",
                            texts[i].written, "expected", texts[i].expected, "similarity",
                            texts[i].similarity));
    }
    if (failed) {
        json_decref(list);
        return NULL;
    }
    mean = sum / (double)n;
    error = n > 1 ? sqrt(fmax(0, squares / (double)n - mean * mean) / (double)(n - 1)) : NAN;
    return json_pack("{s:s, s:I, s:f, s:o, s:o, s:f, s:o}", "task", LCF_ILM_TASK_NAMES[task],
                     "rows", (json_int_t)n, "similarity", mean, "low", number(mean - 1.96 * error),
                     "high", number(mean + 1.96 * error), "chance", chance, "texts", list);
}

static lcf_status write_seed(json_t *out, running *r, const lcf_soft_model *model, lcf_err *err)
{
    static const lcf_ilm_task tasks[] = {LCF_ILM_DESCRIBE, LCF_ILM_NEXT, LCF_ILM_PROFILE,
                                         LCF_ILM_WHY};
    json_t *list = json_array();
    lcf_status status = list && !json_object_set_new(out, "text", list)
                            ? LCF_OK
                            : LCF_FAIL(err, LCF_ENOMEM, "report");

    for (size_t i = 0; i < 4 && r->o->write_rows && !status; i++) {
        lcf_soft_text *texts = NULL;
        double chance;
        size_t n;

        if (!(lcf_ilm_task_share(r->tasks, tasks[i]) > 0))
            continue;
        status = lcf_soft_write(&texts, &n, &chance, model, tasks[i], LCF_TEST, r->o->write_rows,
                                r->o->tokens_max, r->encoder, r->pool, err);
        if (!status && n && json_array_append_new(list, texts_json(texts, n, chance, tasks[i])))
            status = LCF_FAIL(err, LCF_ENOMEM, "texts");
        lcf_soft_texts_free(texts, n);
    }
    return status;
}

/* ---- scores of a finished seed ---- */

static lcf_status save_scores(const running *r, size_t seed, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < SCORED_N && !status; i++) {
        const scored *s = &r->splits[i];
        const lcf_predictions p = {
            NULL, s->n, 1, s->row, s->user, s->label, &r->o->seeds[seed], s->scores + seed * s->n};
        char *path = part_path(r, r->o->seeds[seed], i ? "-test.lcf" : "-valid.lcf");

        if (s->n)
            status = path ? lcf_predictions_save(path, &p, err)
                          : LCF_FAIL(err, LCF_ENOMEM, "path in %s", lcf_partial_path(r->partial));
        free(path);
    }
    return status;
}

static lcf_status load_scores(running *r, size_t seed, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < SCORED_N && !status; i++) {
        scored *s = &r->splits[i];
        lcf_predictions p;
        char *path;

        if (!s->n)
            continue;
        path = part_path(r, r->o->seeds[seed], i ? "-test.lcf" : "-valid.lcf");

        status = path ? lcf_predictions_open(&p, path, err)
                      : LCF_FAIL(err, LCF_ENOMEM, "path in %s", lcf_partial_path(r->partial));
        free(path);
        if (status)
            return status;
        if (p.rows_n != s->n || p.seeds_n != 1)
            status = LCF_FAIL(err, LCF_EFORMAT, "%s holds scores of other rows",
                              lcf_partial_path(r->partial));
        else
            memcpy(s->scores + seed * s->n, p.scores, s->n * sizeof(*s->scores));
        lcf_predictions_close(&p);
    }
    return status;
}

/* ---- all seeds ---- */

/* The model with the soft tokens of all items and users; *table: theirs, free(). */
static lcf_status soft_model(lcf_soft_model *out, float **table, const running *r,
                             const lcf_ilm_adapter *a, lcf_err *err)
{
    const size_t n = lcf_cf_entities(&r->v) * r->form.tokens_n, dim = r->m->config.dim;
    const size_t wanted = r->o->tasks.cutoff + r->o->tokens_max;
    lcf_status status;

    *out = (lcf_soft_model){r->m,
                            r->tasks,
                            &r->form,
                            {NULL, 0},
                            wanted < r->m->config.context_n ? wanted : r->m->config.context_n};
    *table = NULL;
    if (!a)
        return LCF_OK;
    *table = lcf_alloc(n, dim * sizeof(**table));
    status = *table ? lcf_ilm_adapter_table(*table, a, &r->v, r->pool, err)
                    : LCF_FAIL(err, LCF_ENOMEM, "%zu soft tokens of %zu", n, dim);
    out->soft = (lcf_soft_tokens){*table, n};
    return status;
}

static lcf_status make_seed(json_t *out, running *r, size_t idx, lcf_err *err)
{
    const uint64_t seed = r->o->seeds[idx];
    char *weights = part_path(r, seed, ".lcf"), *state = part_path(r, seed, "-state.lcf");
    char *curve = part_path(r, seed, "-curve.json");
    lcf_ilm_adapter *a = NULL;
    lcf_soft_model model;
    float *table = NULL;
    lcf_status status = weights && state && curve ? LCF_OK
                                                  : LCF_FAIL(err, LCF_ENOMEM, "paths in %s",
                                                             lcf_partial_path(r->partial));

    if (!status && r->o->arm != LCF_ILM_ARM_TEXT)
        status = train_adapter(&a, out, r, seed, weights, state, curve, err);
    if (!status)
        status = soft_model(&model, &table, r, a, err);
    if (!status)
        status = score_seed(out, r, idx, &model, err);
    if (!status)
        status = write_seed(out, r, &model, err);
    if (!status)
        status = save_scores(r, idx, err);
    lcf_ilm_adapter_free(a);
    free(table);
    free(weights);
    free(state);
    free(curve);
    return status;
}

/* A seed, unless an earlier run has done it. */
static lcf_status take_seed(running *r, size_t idx, lcf_err *err)
{
    char *path = part_path(r, r->o->seeds[idx], ".json");
    json_t *out = NULL;
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", lcf_partial_path(r->partial));
    if (lcf_path_exists(path)) {
        status = lcf_json_load(&out, path, err);
        if (!status)
            status = load_scores(r, idx, err);
    } else {
        out = json_pack("{s:I}", "seed", (json_int_t)r->o->seeds[idx]);
        status = out ? make_seed(out, r, idx, err) : LCF_FAIL(err, LCF_ENOMEM, "report");
        if (!status)
            status = lcf_json_save(path, out, err);
    }
    if (!status && json_array_append(r->seeds, out))
        status = LCF_FAIL(err, LCF_ENOMEM, "report");
    json_decref(out);
    free(path);
    return status;
}

/* ---- the artefact ---- */

static double valid_loss(const json_t *seed)
{
    const json_t *loss = json_object_get(json_object_get(seed, "training"), "valid_loss");

    return json_is_number(loss) ? json_number_value(loss) : INFINITY;
}

static size_t best_seed(const running *r)
{
    size_t best = 0;

    for (size_t i = 1; i < r->o->seeds_n; i++)
        if (valid_loss(json_array_get(r->seeds, i)) < valid_loss(json_array_get(r->seeds, best)))
            best = i;
    return best;
}

static json_t *trained_json(const running *r, lcf_err *err)
{
    char *path = part_path(r, r->o->seeds[0], ".lcf");
    lcf_ilm_adapter *a = NULL;
    size_t n = 0;

    if (r->o->arm == LCF_ILM_ARM_TEXT || !path || lcf_ilm_adapter_open(&a, path, err)) {
        free(path);
        return json_integer(0);
    }
    for (size_t part = 0; part < LCF_ILM_PARTS_N; part++) {
        const lcf_params *p = lcf_ilm_adapter_params(a, part);

        for (size_t i = 0; p && i < p->list_n; i++)
            n += p->list[i].n;
    }
    lcf_ilm_adapter_free(a);
    free(path);
    return json_integer((json_int_t)n);
}

static lcf_status make_report(running *r, lcf_err *err)
{
    r->report = json_pack("{s:s, s:i, s:s, s:I, s:I, s:o, s:{s:s, s:I}, s:O}", "format",
                          "llmcf-ilm", "version", 1, "arm", LCF_ILM_ARM_NAMES[r->o->arm], "tokens",
                          (json_int_t)r->form.tokens_n, "vector_dim", (json_int_t)r->v.dim,
                          "trained_parameters", trained_json(r, err), "model", "id", r->m->id,
                          "dim", (json_int_t)r->m->config.dim, "seeds", r->seeds);
    return r->report ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "report");
}

static lcf_status copy_adapter(const running *r, const char *dir, uint64_t seed, const char *name,
                               lcf_err *err)
{
    char *from = part_path(r, seed, ".lcf"), *to = lcf_path_join(dir, name);
    lcf_ilm_adapter *a = NULL;
    lcf_status status = from && to ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = lcf_ilm_adapter_open(&a, from, err);
    if (!status)
        status = lcf_ilm_adapter_save(a, to, err);
    lcf_ilm_adapter_free(a);
    free(from);
    free(to);
    return status;
}

static lcf_status write_adapters(const running *r, const char *dir, lcf_err *err)
{
    lcf_status status = LCF_OK;
    char name[64];

    if (r->o->arm == LCF_ILM_ARM_TEXT)
        return LCF_OK;
    for (size_t i = 0; i < r->o->seeds_n && !status; i++) {
        snprintf(name, sizeof(name), "seed-%llu.lcf", (unsigned long long)r->o->seeds[i]);
        status = copy_adapter(r, dir, r->o->seeds[i], name, err);
    }
    return status ? status : copy_adapter(r, dir, r->o->seeds[best_seed(r)], "adapter.lcf", err);
}

static lcf_status write_predictions(const running *r, const char *dir, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < SCORED_N && !status; i++) {
        const scored *s = &r->splits[i];
        const lcf_predictions p = {NULL,    s->n,     r->o->seeds_n, s->row,
                                   s->user, s->label, r->o->seeds,   s->scores};
        char *path = lcf_path_join(dir, i ? "test.lcf" : "valid.lcf");

        if (s->n)
            status = path ? lcf_predictions_save(path, &p, err)
                          : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
        free(path);
    }
    return status;
}

static lcf_status write_files(running *r, const char *dir, lcf_err *err)
{
    lcf_status status = write_adapters(r, dir, err);

    if (!status)
        status = write_predictions(r, dir, err);
    return status ? status : lcf_json_save_in(dir, "report.json", r->report, err);
}

static lcf_status write_artefact(running *r, lcf_err *err)
{
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, r->o->out, err);

    if (!status)
        status = write_files(r, lcf_stage_path(stage), err);
    status = lcf_manifest_finish(r->manifest, stage, status, err);
    return status ? status : lcf_partial_remove(r->partial, err);
}

static lcf_status make(running *r, lcf_err *err)
{
    lcf_status status = open_inputs(r, err);

    if (!status)
        status = lcf_partial_open(&r->partial, r->o->out, r->manifest, r->o->force, err);
    r->seeds = json_array();
    if (!status && !r->seeds)
        status = LCF_FAIL(err, LCF_ENOMEM, "report");
    for (size_t i = 0; i < r->o->seeds_n && !status; i++)
        status = take_seed(r, i, err);
    if (!status)
        status = make_report(r, err);
    return status ? status : write_artefact(r, err);
}

static void dispose(running *r)
{
    for (size_t i = 0; i < SCORED_N; i++) {
        free(r->splits[i].samples);
        free(r->splits[i].row);
        free(r->splits[i].user);
        free(r->splits[i].label);
        free(r->splits[i].scores);
    }
    json_decref(r->seeds);
    json_decref(r->report);
    lcf_partial_close(r->partial);
    lcf_encoder_free(r->encoder);
    lcf_ilm_tasks_free(r->tasks);
    lcf_pool_free(r->pool);
    lcf_llama_close(r->m);
    lcf_cf_vectors_dispose(&r->v);
    lcf_dataset_close(&r->d);
    lcf_manifest_free(r->manifest);
}

lcf_status lcf_ilm_step(json_t **report, bool *current, const lcf_ilm_options *options,
                        lcf_err *err)
{
    running r = {.o = options};
    lcf_status status = check_options(options, err);

    *report = NULL;
    *current = false;
    if (!status)
        status = describe(&r.manifest, options, err);
    *current = !status && !options->force && lcf_manifest_is_current(r.manifest, options->out);
    if (*current)
        status = lcf_json_load_in(report, options->out, "report.json", err);
    else if (!status)
        status = make(&r, err);
    if (!status && !*current)
        *report = json_incref(r.report);
    dispose(&r);
    return status;
}
