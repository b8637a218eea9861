/*
 * The judge step. Invariant: OUT.partial holds parts of the same inputs and options only (its
 * manifest says which), each whole and of the rows that stand at its place.
 */
#include "offline/recgen/run_judge.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/partial.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/data/judgements.h"
#include "common/data/predictions.h"
#include "offline/eval/auc.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/user_auc.h"
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
    lcf_prompt_options prompt; /* with the template and the codes, if any */
    lcf_prompt_template template;
    char *template_bytes;
    lcf_codes codes;
    lcf_llama *model;
    lcf_judge *judge;
    lcf_pool *pool;
    lcf_partial *partial;
    size_t *samples;          /* [n] ascending */
    size_t n, split_begin[4]; /* of samples */
    lcf_judgement *judged;    /* [n] */
    size_t asked_n; /* rows of the parts whose seconds are known: of this run and of stopped ones */
    double seconds; /* that they took */
    json_t *stats;
} judging;

/* ---- which rows ---- */

static bool chosen(const judging *g, lcf_split split, size_t sample)
{
    const lcf_hash128 hash = lcf_dataset_sample_hash(&g->d, sample);

    if (split != LCF_TRAIN)
        return lcf_dataset_user_drawn(&g->d, g->d.sample_user[sample], g->o->score_users);
    if (g->o->share >= 1.0)
        return true;
    return (double)lcf_hash64(hash.bytes, sizeof(hash.bytes), g->o->seed) < g->o->share * 0x1p64;
}

static lcf_status choose(judging *g, lcf_err *err)
{
    g->samples = lcf_alloc(g->d.samples_n + 1, sizeof(*g->samples));
    g->judged = lcf_alloc(g->d.samples_n + 1, sizeof(*g->judged));
    if (!g->samples || !g->judged)
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

static char *part_path(const judging *g, size_t part, const char *end)
{
    lcf_buf path = LCF_BUF_INIT;

    lcf_buf_printf(&path, "%s/part-%zu%s", lcf_partial_path(g->partial), part, end);
    return lcf_buf_take(&path);
}

/* What a part took stands beside it, for the figures of a run that goes on after a stop. */
static lcf_status save_seconds(const char *path, double seconds, lcf_err *err)
{
    json_t *json = json_pack("{s:f}", "seconds", seconds);
    lcf_status status = json ? lcf_json_save(path, json, err) : LCF_FAIL(err, LCF_ENOMEM, "part");

    json_decref(json);
    return status;
}

static void add_seconds(judging *g, const char *path, size_t rows)
{
    json_t *json = NULL;
    double seconds;

    if (!lcf_json_load(&json, path, NULL) && !lcf_json_f64(&seconds, json, "seconds", NULL)) {
        g->seconds += seconds;
        g->asked_n += rows;
    }
    json_decref(json);
}

/* True when the part is there, whole, and of these rows. */
static bool load_part(judging *g, const char *path, size_t begin, size_t n)
{
    lcf_judgements p;
    bool same;

    if (lcf_judgements_open(&p, path, g->d.samples_n, NULL))
        return false;
    same = p.n == n && p.tokens;
    for (size_t i = 0; same && i < n; i++)
        same = p.row[i] == g->samples[begin + i];
    for (size_t i = 0; same && i < n; i++)
        g->judged[begin + i] =
            (lcf_judgement){p.logit[i], p.yes_logit[i], p.yes_logprob[i], p.tokens[i]};
    lcf_judgements_close(&p);
    return same;
}

typedef struct columns { /* rows as they stand in a file; [n] each */
    uint64_t *row;
    float *difference, *yes_logit, *yes_logprob;
    uint32_t *tokens;
} columns;

static void fill(columns *c, const judging *g, size_t begin, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const lcf_judgement *j = &g->judged[begin + i];
        c->row[i] = g->samples[begin + i];
        c->difference[i] = j->difference;
        c->yes_logit[i] = j->yes_logit;
        c->yes_logprob[i] = j->yes_logprob;
        c->tokens[i] = j->tokens;
    }
}

static lcf_status save_rows(const judging *g, const char *path, size_t begin, size_t n,
                            lcf_err *err)
{
    columns c = {lcf_alloc(n + 1, sizeof(*c.row)), lcf_alloc(n + 1, sizeof(*c.difference)),
                 lcf_alloc(n + 1, sizeof(*c.yes_logit)), lcf_alloc(n + 1, sizeof(*c.yes_logprob)),
                 lcf_alloc(n + 1, sizeof(*c.tokens))};
    lcf_status status = LCF_OK;

    if (!c.row || !c.difference || !c.yes_logit || !c.yes_logprob || !c.tokens) {
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu rows", n);
    } else {
        const lcf_judgements p = {NULL,          n,       c.row, c.difference, c.yes_logit,
                                  c.yes_logprob, c.tokens};
        fill(&c, g, begin, n);
        status = lcf_judgements_save(path, &p, err);
    }
    free(c.row);
    free(c.difference);
    free(c.yes_logit);
    free(c.yes_logprob);
    free(c.tokens);
    return status;
}

static lcf_status ask(double *seconds, judging *g, size_t begin, size_t n, lcf_err *err)
{
    const double start_s = lcf_clock_s();
    lcf_status status =
        lcf_judge_run(g->judged + begin, g->judge, g->samples + begin, n, g->pool, err);

    *seconds = lcf_clock_s() - start_s;
    return status;
}

static lcf_status judge_part(judging *g, size_t part, lcf_err *err)
{
    const size_t begin = part * PART_ROWS;
    const size_t n = g->n - begin < PART_ROWS ? g->n - begin : PART_ROWS;
    char *path = part_path(g, part, ".lcf"), *took = part_path(g, part, ".json");
    lcf_status status = path && took
                            ? LCF_OK
                            : LCF_FAIL(err, LCF_ENOMEM, "path in %s", lcf_partial_path(g->partial));

    if (!status && !load_part(g, path, begin, n)) {
        double seconds;

        status = ask(&seconds, g, begin, n, err);
        if (!status)
            status = save_seconds(took, seconds, err);
        if (!status)
            status = save_rows(g, path, begin, n, err); /* last: with it the part is done */
    }
    if (!status)
        add_seconds(g, took, n);
    free(path);
    free(took);
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

/* The scores of a judgement, and what they are called. */
enum { DIFFERENCE, YES_LOGIT, YES_LOGPROB, SCORES_N };
static const char *const SCORE_NAMES[SCORES_N] = {"difference", "yes_logit", "yes_logprob"};

static float score_of(const lcf_judgement *j, int score)
{
    return score == DIFFERENCE ? j->difference : score == YES_LOGIT ? j->yes_logit : j->yes_logprob;
}

static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

typedef struct split_rows { /* of one split, [n] each */
    float *scores;
    uint8_t *labels;
    uint32_t *users;
    uint64_t *scratch; /* [2 * n] */
    size_t begin, n;
} split_rows;

static lcf_status open_rows(split_rows *r, const judging *g, int split, lcf_err *err)
{
    r->begin = g->split_begin[split];
    r->n = g->split_begin[split + 1] - r->begin;
    r->scores = lcf_alloc(r->n + 1, sizeof(*r->scores));
    r->labels = lcf_alloc(r->n + 1, sizeof(*r->labels));
    r->users = lcf_alloc(r->n + 1, sizeof(*r->users));
    r->scratch = lcf_alloc(r->n + 1, 2 * sizeof(*r->scratch));
    if (!r->scores || !r->labels || !r->users || !r->scratch)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", r->n);
    for (size_t i = 0; i < r->n; i++) {
        r->labels[i] = g->d.sample_label[g->samples[r->begin + i]];
        r->users[i] = g->d.sample_user[g->samples[r->begin + i]];
    }
    return LCF_OK;
}

static void close_rows(split_rows *r)
{
    free(r->scores);
    free(r->labels);
    free(r->users);
    free(r->scratch);
}

/* A score as a probability: of Yes against No, or against all words. */
static float probability_of(const lcf_judgement *j, int score)
{
    return score == DIFFERENCE ? 1.0f / (1.0f + expf(-j->difference)) : expf(j->yes_logprob);
}

static double log_loss_of(const judging *g, split_rows *r, int score)
{
    if (score == YES_LOGIT)
        return NAN; /* no probability */
    for (size_t i = 0; i < r->n; i++)
        r->scores[i] = probability_of(&g->judged[r->begin + i], score);
    return lcf_log_loss(r->scores, r->labels, r->n);
}

/* AUC, UAUC and log loss by one of the scores. */
static lcf_status measure_score(json_t *stats, const judging *g, split_rows *r, int score,
                                lcf_err *err)
{
    lcf_user_auc users;
    lcf_status status;
    double auc;

    for (size_t i = 0; i < r->n; i++)
        r->scores[i] = score_of(&g->judged[r->begin + i], score);
    status =
        lcf_user_auc_compute(&users, NULL, r->scores, r->labels, r->users, r->n, g->d.users_n, err);
    if (status)
        return status;
    auc = lcf_auc(r->scores, r->labels, r->n, r->scratch);
    if (json_object_set_new(stats, SCORE_NAMES[score],
                            json_pack("{s:o, s:o, s:o}", "auc", figure(auc), "uauc",
                                      figure(users.uauc), "logloss",
                                      figure(log_loss_of(g, r, score)))))
        return LCF_FAIL(err, LCF_ENOMEM, "counts");
    return LCF_OK;
}

static lcf_status split_stats(json_t **out, const judging *g, int split, lcf_err *err)
{
    split_rows r = {NULL};
    lcf_status status = open_rows(&r, g, split, err);
    uint64_t tokens = 0;

    for (size_t i = 0; i < r.n && !status; i++)
        tokens += g->judged[r.begin + i].tokens;
    *out = json_pack("{s:I, s:o}", "rows", (json_int_t)r.n, "tokens_per_row",
                     figure((double)tokens / (double)r.n));
    for (int score = 0; score < SCORES_N && r.n && !status; score++)
        status = measure_score(*out, g, &r, score, err);
    close_rows(&r);
    return status;
}

static lcf_status make_stats(judging *g, lcf_err *err)
{
    lcf_status status = LCF_OK;

    g->stats = json_pack("{s:I, s:o}", "asked", (json_int_t)g->asked_n, "seconds_per_1000_rows",
                         figure(1000.0 * g->seconds / (double)g->asked_n));
    for (int split = 0; split < 3 && !status; split++) {
        json_t *one = NULL;
        status = split_stats(&one, g, split, err);
        if (json_object_set_new(g->stats, LCF_SPLIT_NAMES[split], one) && !status)
            status = LCF_FAIL(err, LCF_ENOMEM, "counts");
    }
    return status;
}

/* The probability as predictions of a split's chosen rows. */
static lcf_status write_predictions(const judging *g, const char *dir, lcf_split split, int score,
                                    lcf_err *err)
{
    const size_t begin = g->split_begin[split], n = g->split_begin[split + 1] - begin;
    float *scores = lcf_alloc(n + 1, sizeof(*scores));
    lcf_status status;

    if (!scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu predictions", n);
    for (size_t i = 0; i < n; i++)
        scores[i] = probability_of(&g->judged[begin + i], score);
    status = lcf_predictions_save_split(dir, &g->d, split, g->samples + begin, n, scores, err);
    free(scores);
    return status;
}

/* The splits that were asked about, below `dir`. */
static lcf_status write_splits(const judging *g, const char *dir, int score, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (int split = LCF_VALID; split <= LCF_TEST && !status; split++)
        if (g->o->splits[split])
            status = write_predictions(g, dir, (lcf_split)split, score, err);
    return status;
}

static lcf_status write_files(const judging *g, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "judgements.lcf"), *yes = lcf_path_join(dir, "yes");
    lcf_status status = path && yes ? save_rows(g, path, 0, g->n, err)
                                    : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = write_splits(g, dir, DIFFERENCE, err);
    if (!status && (g->o->splits[LCF_VALID] || g->o->splits[LCF_TEST]))
        status = lcf_dir_create(yes, err);
    if (!status)
        status = write_splits(g, yes, YES_LOGPROB, err);
    free(path);
    free(yes);
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
    status = lcf_manifest_finish(g->manifest, stage, status, err);
    return status ? status : lcf_partial_remove(g->partial, err);
}

/* ---- the step ---- */

static lcf_status describe(lcf_manifest **out, const lcf_judge_options *o, lcf_err *err)
{
    const lcf_input inputs[] = {{"dataset", o->dataset}, {"model", o->model}, {NULL, NULL}};
    char splits[32] = "";
    lcf_status status;

    for (int split = 0; split < 3; split++)
        if (o->splits[split]) {
            strcat(splits, splits[0] ? "," : "");
            strcat(splits, LCF_SPLIT_NAMES[split]);
        }
    status = lcf_manifest_describe(out, "judge",
                                   json_pack("{s:s, s:f, s:I}", "splits", splits, "share", o->share,
                                             "seed", (json_int_t)o->seed),
                                   inputs, err);
    if (!status && o->score_users < 1.0)
        status = lcf_manifest_param_f64(*out, "score_users", o->score_users, err);
    return status ? status : lcf_prompt_describe(*out, &o->prompt, o->template_file, o->codes, err);
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
                  : lcf_judge_create(&g->judge, g->model, g->model->tokenizer, &g->d, &g->prompt,
                                     context < CONTEXT_MAX ? context : CONTEXT_MAX,
                                     lcf_pool_threads(g->pool), err);
}

static lcf_status open_prompt(judging *g, lcf_err *err)
{
    const lcf_judge_options *o = g->o;
    lcf_status status = lcf_prompt_open(&g->prompt, &g->template, &g->template_bytes, &o->prompt,
                                        o->template_file, err);

    if (!status)
        status = lcf_prompt_need(&g->prompt, false, err);
    return status ? status
                  : lcf_prompt_open_codes(&g->prompt, &g->codes, o->codes, &g->d, o->template_file,
                                          err);
}

static lcf_status make(judging *g, lcf_err *err)
{
    lcf_status status = lcf_dataset_open(&g->d, g->o->dataset, err);

    if (!status)
        status = open_prompt(g, err);
    if (!status)
        status = choose(g, err);
    if (!status)
        status = open_model(g, err);
    if (!status)
        status = lcf_partial_open(&g->partial, g->o->out, g->manifest, g->o->force, err);
    if (!status)
        status = judge_all(g, err);
    return status ? status : write_artefact(g, err);
}

static void dispose(judging *g)
{
    lcf_judge_free(g->judge);
    lcf_pool_free(g->pool);
    lcf_llama_close(g->model);
    lcf_codes_close(&g->codes);
    free(g->template_bytes);
    lcf_dataset_close(&g->d);
    lcf_manifest_free(g->manifest);
    json_decref(g->stats);
    lcf_partial_close(g->partial);
    free(g->samples);
    free(g->judged);
}

lcf_status lcf_judge_step(json_t **stats, bool *current, const lcf_judge_options *options,
                          lcf_err *err)
{
    judging g = {.o = options};
    lcf_status status = LCF_OK;

    *stats = NULL;
    if (!(options->share > 0.0 && options->share <= 1.0))
        return LCF_FAIL(err, LCF_EUSAGE, "a share of %g; it must be in (0, 1]", options->share);
    if (!(options->score_users > 0.0 && options->score_users <= 1.0))
        return LCF_FAIL(err, LCF_EUSAGE, "%g of the users; it must be in (0, 1]",
                        options->score_users);
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
