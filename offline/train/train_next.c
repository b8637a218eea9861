/* The train-next step: its options and report, and what seed_runs.h asks of a training step. */
#include "offline/train/train_next.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "offline/train/next_results.h"
#include "offline/train/seed_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *loss_name(lcf_next_loss_kind kind)
{
    static const char *const NAMES[] = {"sampled", "full", "bce", NULL};

    return NAMES[kind];
}

static const char *sampling_name(lcf_next_sampling sampling)
{
    static const char *const NAMES[] = {"uniform", "log-uniform", NULL};

    return NAMES[sampling];
}

typedef struct run {
    const lcf_train_next_options *options;
    next_inputs inputs;
    next_result *results; /* [seeds_n], in the order of the options */
} run;

/* ---- options and identity ---- */

/* A module that needs more is refused by lcf_next_create, which says why. */
static unsigned needs_of(const lcf_train_next_options *o)
{
    return lcf_ranker_side_needs(o->config.side.side) & (LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES);
}

static side_dirs dirs_of(const lcf_train_next_options *o)
{
    return (side_dirs){o->vectors_dir, o->examples_dir, o->retrieved_dir, NULL};
}

static lcf_status check_options(const lcf_train_next_options *o, lcf_err *err)
{
    const lcf_train_next_params *p = &o->params;
    const side_dirs dirs = dirs_of(o);
    lcf_status status;

    if (!p->epochs_max || p->epochs_max > LCF_TRAIN_EPOCHS_MAX || !p->batch || !p->patience ||
        !p->negatives)
        return LCF_FAIL(err, LCF_EINVAL,
                        "epochs (1 to %d), batch, patience and negatives must be at least 1",
                        LCF_TRAIN_EPOCHS_MAX);
    if (!(p->learning_rate > 0.0 && p->learning_rate < INFINITY) ||
        !(p->weight_decay >= 0.0 && p->weight_decay < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "learning rate %g or weight decay %g is out of range",
                        p->learning_rate, p->weight_decay);
    if (!lcf_ranker_has_side(o->config.side.side))
        return LCF_FAIL(err, LCF_EINVAL, "there is no side module '%s'", o->config.side.side);
    status = side_dirs_check(&dirs, o->config.side.side, needs_of(o), err);
    return status ? status : lcf_train_check_seeds(o->seeds, o->seeds_n, err);
}

/* Parameters as JSON, of the report and of the manifest; what does not apply is null. */
static json_t *params_json(const lcf_train_next_options *o)
{
    const lcf_train_next_params *p = &o->params;
    const lcf_next_config *c = &o->config;
    const double side_scale = (double)c->side_scale, rec_weight = (double)c->side.rec_weight;

    return json_pack(
        "{s:s, s:s?, s:I, s:I, s:I, s:s, s:b, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:s?, s:o, "
        "s:o, s:o}",
        "side", c->side.side, "precision", p->precision == LCF_PRECISION_BF16 ? "bf16" : NULL,
        "epochs", (json_int_t)p->epochs_max, "patience", (json_int_t)p->patience, "batch",
        (json_int_t)p->batch, "loss", loss_name(p->loss), "rank_seen", (int)p->rank_seen, "lr",
        p->learning_rate, "weight_decay", p->weight_decay, "dropout", (double)c->dropout, "dim",
        (json_int_t)c->dim, "history", (json_int_t)c->history_max, "hidden", (json_int_t)c->hidden,
        "layers", (json_int_t)c->layers_n, "heads", (json_int_t)c->heads_n, "sampler",
        p->loss != LCF_NEXT_FULL ? sampling_name(p->sampling) : NULL, "negatives",
        p->loss == LCF_NEXT_SAMPLED ? json_integer(p->negatives) : json_null(), "side_scale",
        needs_of(o) ? json_real(side_scale) : json_null(), "rec_weight",
        needs_of(o) ? json_real(rec_weight) : json_null());
}

static lcf_status describe(lcf_manifest *m, void *arg, lcf_err *err)
{
    const lcf_train_next_options *o = ((const run *)arg)->options;
    const side_dirs dirs = dirs_of(o);
    lcf_status status = lcf_manifest_param_str(m, "model", o->config.encoder, err);

    if (!status)
        status = lcf_manifest_params(m, params_json(o), err);
    if (!status)
        status = lcf_manifest_input(m, "dataset", o->dataset_dir, err);
    return status ? status : side_dirs_describe(m, &dirs, needs_of(o), err);
}

/* The target is to be guessed: it must not have chosen the examples. */
static lcf_status check_retrieved(const lcf_retrieved *r, const char *dir, lcf_err *err)
{
    return !r->ids || r->rule.by == LCF_RETRIEVE_BY_HISTORY
               ? LCF_OK
               : LCF_FAIL(err, LCF_EINVAL,
                          "%s: examples were found by %s, that is with the target's help; retrieve "
                          "with --by history",
                          dir, lcf_retrieval_by_name(r->rule.by));
}

static lcf_status open_inputs(uint64_t *epoch_rows, void *arg, lcf_err *err)
{
    run *r = arg;
    const lcf_train_next_options *o = r->options;
    const side_dirs dirs = dirs_of(o);
    next_inputs *in = &r->inputs;
    lcf_status status = next_rows_open(&in->rows, o->dataset_dir, o->config.history_max, err);

    *epoch_rows = in->rows.questions_n;
    if (status)
        return status;
    in->config = o->config;
    in->config.items_n = in->rows.dataset.catalogue.items_n;
    status =
        side_inputs_open(&in->side, &in->config.side, &in->rows.dataset, &dirs, needs_of(o), err);
    if (!status)
        status = check_retrieved(&in->side.retrieved, o->retrieved_dir, err);
    return status ? status
                  : next_sampler_init(&in->sampler, o->params.sampling, in->rows.item_count,
                                      in->config.items_n, err);
}

/* ---- seeds ---- */

static lcf_status load(void *arg, size_t idx, const char *dir, lcf_err *err)
{
    run *r = arg;

    return next_result_load(&r->results[idx], dir, r->options->seeds[idx], &r->inputs.rows, err);
}

/* A seed that is being trained. */
typedef struct training {
    const run *run;
    size_t idx;
    seed_progress *progress;
} training;

static void on_step(void *arg, size_t questions)
{
    seed_progress_step(((const training *)arg)->progress, questions);
}

static void on_epoch(void *arg, const next_result *so_far)
{
    const next_epoch *e = &so_far->epochs[so_far->epochs_n - 1];
    const training *t = arg;
    const run *r = t->run;

    seed_progress_epoch(
        t->progress, t->idx, so_far->best_epoch, "seed %llu epoch %u loss %.4f valid NDCG@10 %.4f",
        (unsigned long long)so_far->seed, so_far->epochs_n, e->loss, e->valid_ndcg10);
    lcf_log(LCF_LOG_INFO,
            "msg=\"epoch\" model=%s seed=%llu epoch=%u loss=%.5f valid_hr10=%.5f "
            "valid_ndcg10=%.5f rows_per_s=%.0f",
            r->options->config.encoder, (unsigned long long)so_far->seed, so_far->epochs_n, e->loss,
            e->valid_hr10, e->valid_ndcg10,
            (double)r->inputs.rows.questions_n * so_far->epochs_n /
                (so_far->seconds > 0.0 ? so_far->seconds : 1.0));
}

static lcf_status train(void *arg, size_t idx, size_t threads, const char *dir,
                        seed_progress *progress, lcf_err *err)
{
    run *r = arg;
    training t = {r, idx, progress};
    const next_watch watch = {on_step, on_epoch, &t};
    lcf_next *model = NULL;
    lcf_status status;

    (void)threads; /* a seed of this kind is trained by one */
    status = next_train_seed(&model, &r->results[idx], &r->inputs, &r->options->params,
                             r->options->seeds[idx], dir, &watch, err);
    if (!status)
        status = next_result_save(&r->results[idx], model, dir, &r->inputs.rows, err);
    lcf_next_free(model);
    return status;
}

/* ---- the artefact ---- */

static double valid_ndcg(void *arg, size_t idx)
{
    const run *r = arg;

    return lcf_rank_mean(LCF_RANK_NDCG10, r->results[idx].ranks[LCF_VALID],
                         r->inputs.rows.rows_n[LCF_VALID]);
}

static json_t *seed_report(void *arg, size_t idx, bool with_times)
{
    const run *r = arg;

    return next_result_json(&r->results[idx], &r->inputs.rows, with_times);
}

static json_t *report(void *arg)
{
    const run *r = arg;
    const lcf_train_next_options *o = r->options;
    const next_rows *rows = &r->inputs.rows;

    return json_pack("{s:i, s:s, s:o, s:{s:I, s:I, s:I, s:I}, s:I, s:o, s:o}", "version", 1,
                     "model", o->config.encoder, "params", lcf_json_without_nulls(params_json(o)),
                     "rows", "users", (json_int_t)rows->sequences_n, "train",
                     (json_int_t)rows->questions_n, "valid", (json_int_t)rows->rows_n[LCF_VALID],
                     "test", (json_int_t)rows->rows_n[LCF_TEST], "candidates",
                     (json_int_t)(r->inputs.config.items_n - 1), "valid",
                     next_results_summary(r->results, o->seeds_n, rows, LCF_VALID), "test",
                     next_results_summary(r->results, o->seeds_n, rows, LCF_TEST));
}

static lcf_status write_ranks(void *arg, const char *dir, lcf_err *err)
{
    const run *r = arg;
    const bool rank_seen = r->options->params.rank_seen;
    lcf_status status = next_results_save_ranks(dir, r->results, r->options->seeds_n, &r->inputs,
                                                rank_seen, LCF_VALID, err);

    if (!status)
        status = next_results_save_ranks(dir, r->results, r->options->seeds_n, &r->inputs,
                                         rank_seen, LCF_TEST, err);
    return status;
}

static void run_dispose(run *r)
{
    for (size_t i = 0; r->results && i < r->options->seeds_n; i++)
        next_result_dispose(&r->results[i]);
    free(r->results);
    next_sampler_dispose(&r->inputs.sampler);
    side_inputs_close(&r->inputs.side);
    next_rows_close(&r->inputs.rows);
}

lcf_status lcf_train_next(json_t **out, bool *current, const lcf_train_next_options *o,
                          lcf_err *err)
{
    run r = {.options = o};
    const seed_runs runs = {.verb = "train-next",
                            .out_dir = o->out_dir,
                            .seeds = o->seeds,
                            .seeds_n = o->seeds_n,
                            .threads = o->threads,
                            .force = o->force,
                            .epochs_max = o->params.epochs_max,
                            .patience = o->params.patience,
                            .arg = &r,
                            .describe = describe,
                            .open = open_inputs,
                            .load = load,
                            .train = train,
                            .worth = valid_ndcg,
                            .seed_report = seed_report,
                            .report = report,
                            .write = write_ranks};
    lcf_status status = check_options(o, err);

    if (status)
        return status;
    r.results = lcf_alloc_zero(o->seeds_n, sizeof(*r.results));
    status = r.results ? seed_runs_make(out, current, &runs, err)
                       : LCF_FAIL(err, LCF_ENOMEM, "results of %zu seeds", o->seeds_n);
    run_dispose(&r);
    return status;
}
