/* simulate: the files of the simulated shop. See simulate.h and schemas/truth.md. */
#include "offline/data/simulate.h"

#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "offline/data/counts.h"
#include "offline/data/sim_shop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shop and its log, and how they become text. */
typedef struct result {
    lcf_sim_shop shop;
    lcf_sim_log log;
} result;

static lcf_status check(const lcf_simulate_options *o, lcf_err *err)
{
    if (!o->users_n || !o->items_n || !o->days)
        return LCF_FAIL(err, LCF_EINVAL, "a shop needs at least one user, item and day");
    if (o->days > 36500 || o->items_n >= UINT32_MAX || o->users_n >= UINT32_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "at most 36500 days and 2^32 - 2 users and items");
    if (!(o->requests_per_user > 0.0 && o->requests_per_user <= 1e5))
        return LCF_FAIL(err, LCF_EINVAL, "requests per user must be in (0, 100000]");
    if (!o->slate || o->slate > LCF_SIM_SLATE_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "a slate has 1 to %d items", LCF_SIM_SLATE_MAX);
    return LCF_OK;
}

static lcf_status describe(lcf_manifest **out, const lcf_simulate_options *o, lcf_err *err)
{
    const lcf_input none = {NULL, NULL};
    json_t *params =
        json_pack("{s:I, s:I, s:I, s:f, s:I, s:I}", "users", (json_int_t)o->users_n, "items",
                  (json_int_t)o->items_n, "days", (json_int_t)o->days, "requests_per_user",
                  o->requests_per_user, "slate", (json_int_t)o->slate, "seed", (json_int_t)o->seed);

    return lcf_manifest_describe(out, "simulate", params, &none, err);
}

static void print_row(FILE *f, const lcf_intern *table, size_t idx)
{
    fprintf(f, "\t%.*s", (int)(table->offsets[idx + 1] - table->offsets[idx]),
            table->chars + table->offsets[idx]);
}

static void print_items(FILE *f, const result *r)
{
    fputs("item_id\ttitle\tbrand\tcategories\ttext\n", f);
    for (size_t i = 0; i < r->shop.n; i++) {
        fprintf(f, "i%zu", i + 1);
        print_row(f, &r->shop.title, i + 1);
        fprintf(f, "\t%s", LCF_SIM_BRAND[r->shop.items[i].brand]);
        print_row(f, &r->shop.categories, i + 1);
        print_row(f, &r->shop.text, i + 1);
        fputc('\n', f);
    }
}

static void print_interactions(FILE *f, const result *r)
{
    fputs("user_id\titem_id\ttimestamp\trating\n", f);
    for (size_t i = 0; i < r->log.interactions_n; i++) {
        const lcf_sim_interaction *row = r->log.interactions + i;

        fprintf(f, "u%" PRIu32 "\ti%" PRIu32 "\t%" PRId64 "\t%u\n", row->user + 1, row->item + 1,
                row->time, (unsigned)row->rating);
    }
}

static void print_impressions(FILE *f, const result *r)
{
    fputs("request_id\tuser_id\ttimestamp\tposition\titem_id\tpropensity\tclick\n", f);
    for (size_t i = 0; i < r->log.impressions_n; i++) {
        const lcf_sim_impression *row = r->log.impressions + i;

        fprintf(f, "%" PRIu32 "\tu%" PRIu32 "\t%" PRId64 "\t%u\ti%" PRIu32 "\t%.9g\t%u\n",
                row->request + 1, row->user + 1, row->time, (unsigned)row->position, row->item + 1,
                row->propensity, (unsigned)row->clicked);
    }
}

static lcf_status write_text(const char *dir, const char *name,
                             void (*print)(FILE *f, const result *r), const result *r, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_out *out = NULL;
    lcf_status status =
        path ? lcf_out_open(&out, path, err) : LCF_FAIL(err, LCF_ENOMEM, "%s", name);

    if (!status) {
        print(lcf_out_stream(out), r);
        status = lcf_out_commit(out, err); /* notices what print could not write */
    }
    free(path);
    return status;
}

/* The columns of truth.lcf. */
typedef struct truth {
    double *click, *propensity; /* [impressions] */
    double *like;               /* [interactions] */
    uint64_t *first;            /* [requests] */
    double *value, *policy;     /* [policies, requests] */
    double mean[LCF_SIM_POLICIES];
} truth;

static void truth_dispose(truth *t)
{
    free(t->click);
    free(t->propensity);
    free(t->like);
    free(t->first);
    free(t->value);
    free(t->policy);
}

static lcf_status truth_allocate(truth *t, const lcf_sim_log *log)
{
    size_t cells;

    memset(t, 0, sizeof(*t));
    if (!lcf_mul_size(&cells, log->requests_n, LCF_SIM_POLICIES))
        return LCF_ELIMIT;
    t->click = lcf_alloc(log->impressions_n + 1, sizeof(*t->click));
    t->propensity = lcf_alloc(log->impressions_n + 1, sizeof(*t->propensity));
    t->like = lcf_alloc(log->interactions_n + 1, sizeof(*t->like));
    t->first = lcf_alloc(log->requests_n + 1, sizeof(*t->first));
    t->value = lcf_alloc(cells + 1, sizeof(*t->value));
    t->policy = lcf_alloc(cells + 1, sizeof(*t->policy));
    return t->click && t->propensity && t->like && t->first && t->value && t->policy ? LCF_OK
                                                                                     : LCF_ENOMEM;
}

static lcf_status truth_fill(truth *t, const lcf_sim_log *log)
{
    size_t n = log->requests_n;
    lcf_status status = truth_allocate(t, log);

    if (status)
        return status;
    for (size_t i = 0; i < log->impressions_n; i++) {
        t->click[i] = log->impressions[i].click_truth;
        t->propensity[i] = log->impressions[i].propensity;
        if (log->impressions[i].position == 1)
            t->first[log->impressions[i].request] = i;
    }
    for (size_t i = 0; i < log->interactions_n; i++)
        t->like[i] = log->interactions[i].like_truth;
    for (size_t p = 0; p < LCF_SIM_POLICIES; p++) {
        for (size_t i = 0; i < n; i++) {
            t->value[p * n + i] = log->requests[i].value[p];
            t->policy[p * n + i] = log->requests[i].propensity[p];
            t->mean[p] += log->requests[i].value[p];
        }
        t->mean[p] /= n ? (double)n : 1.0;
    }
    return LCF_OK;
}

static lcf_status add_truth(lcf_bundle_writer *w, const truth *t, const lcf_sim_log *log,
                            lcf_err *err)
{
    const uint64_t dims[2] = {LCF_SIM_POLICIES, log->requests_n};
    lcf_status status;

    status = lcf_bundle_add_1d(w, "impression_click", LCF_F64, log->impressions_n, t->click, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "impression_propensity", LCF_F64, log->impressions_n,
                                   t->propensity, err);
    if (!status)
        status =
            lcf_bundle_add_1d(w, "interaction_like", LCF_F64, log->interactions_n, t->like, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "request_first", LCF_U64, log->requests_n, t->first, err);
    if (!status)
        status = lcf_bundle_add_text(w, "policies", "logging\nuniform\npopular\nbest\n", err);
    if (!status)
        status = lcf_bundle_add(w, "policy_propensity", LCF_F64, dims, 2, t->policy, err);
    if (!status)
        status = lcf_bundle_add(w, "policy_click", LCF_F64, dims, 2, t->value, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "policy_value", LCF_F64, LCF_SIM_POLICIES, t->mean, err);
    return status;
}

static lcf_status write_truth(const char *dir, const lcf_sim_log *log, lcf_err *err)
{
    char *path = lcf_path_join(dir, "truth.lcf");
    lcf_bundle_writer *w = NULL;
    truth t;
    lcf_status status = truth_fill(&t, log);

    if (status || !path)
        status = LCF_FAIL(err, LCF_ENOMEM, "truth of %zu impressions", log->impressions_n);
    if (!status)
        status = lcf_bundle_create(&w, path, "truth", LCF_TRUTH_VERSION, err);
    if (!status) {
        status = add_truth(w, &t, log, err);
        if (status)
            lcf_bundle_abandon(w);
        else
            status = lcf_bundle_commit(w, err);
    }
    truth_dispose(&t);
    free(path);
    return status;
}

static json_t *make_stats(const result *r)
{
    const lcf_sim_log *log = &r->log;
    size_t clicks = 0, liked = 0;
    double expected = 0.0;

    for (size_t i = 0; i < log->impressions_n; i++) {
        clicks += log->impressions[i].clicked;
        expected += log->impressions[i].click_truth;
    }
    for (size_t i = 0; i < log->interactions_n; i++)
        liked += log->interactions[i].rating >= 4;
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "items", (json_int_t)r->shop.n,
                     "requests", (json_int_t)log->requests_n, "impressions",
                     (json_int_t)log->impressions_n, "clicks", (json_int_t)clicks,
                     "clicks_expected", expected, "interactions", (json_int_t)log->interactions_n,
                     "liked", (json_int_t)liked);
}

static lcf_status write_all(const result *r, lcf_manifest *m, const char *dir, lcf_err *err)
{
    lcf_stage *stage = NULL;
    const char *path;
    lcf_status status = lcf_stage_open(&stage, dir, err);

    if (status)
        return status;
    path = lcf_stage_path(stage);
    status = write_text(path, "items.tsv", print_items, r, err);
    if (!status)
        status = write_text(path, "interactions.tsv", print_interactions, r, err);
    if (!status)
        status = write_text(path, "impressions.tsv", print_impressions, r, err);
    if (!status)
        status = write_truth(path, &r->log, err);
    return lcf_manifest_finish(m, stage, status, err);
}

static lcf_status run(json_t **stats, lcf_manifest *m, const lcf_simulate_options *o, lcf_err *err)
{
    result r;
    lcf_status status;

    memset(&r, 0, sizeof(r));
    status = lcf_sim_shop_create(&r.shop, o);
    if (!status)
        status = lcf_sim_log_create(&r.log, &r.shop, o);
    if (status) {
        LCF_FAIL(err, status, "a shop of %" PRIu32 " users and %" PRIu32 " items: %s", o->users_n,
                 o->items_n, lcf_status_text(status));
        goto done;
    }
    *stats = make_stats(&r);
    status = lcf_counts_keep(m, *stats, err);
    if (!status)
        status = write_all(&r, m, o->out_dir, err);
done:
    lcf_sim_log_dispose(&r.log);
    lcf_sim_shop_dispose(&r.shop);
    return status;
}

lcf_status lcf_simulate(json_t **stats, bool *current, const lcf_simulate_options *options,
                        lcf_err *err)
{
    lcf_manifest *m = NULL;
    json_t *figures = NULL;
    bool same = false;
    lcf_status status = check(options, err);

    if (stats)
        *stats = NULL;
    if (!status)
        status = describe(&m, options, err);
    if (status)
        return status;
    same = !options->force && lcf_manifest_is_current(m, options->out_dir);
    status =
        same ? lcf_counts_read(&figures, options->out_dir, err) : run(&figures, m, options, err);
    lcf_manifest_free(m);
    if (current)
        *current = same;
    if (!status && stats) {
        *stats = figures;
        figures = NULL;
    }
    json_decref(figures);
    return status;
}
