/* One pass over both files, then one walk over what was sorted or counted. */
#include "offline/eval/stream/stream.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/eval/auc.h"
#include "offline/eval/brier.h"
#include "offline/eval/distributions.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/normalised_entropy.h"
#include "offline/eval/rela_impr.h"
#include "offline/eval/score_order.h"
#include "offline/eval/score_rows.h"
#include "offline/eval/stream/auc_groups.h"
#include "offline/eval/stream/extsort.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS LCF_STREAM_GROUPS
#define SKETCH_SHIFT 13                                 /* low bits of a float that a bin forgets */
#define SKETCH_BINS ((0x3F800000u >> SKETCH_SHIFT) + 1) /* up to 1.0f */
#define PAIRS_MAX ((size_t)8 << 20)
#define STOP_EVERY 65536 /* rows between two looks at the stop flag */

/* Sums of a group of users. */
typedef struct sums {
    double rows, positives;
    double loss[LCF_ARMS], brier[LCF_ARMS], residual[LCF_ARMS][LCF_CALIBRATION_BINS];
    double users_both, rows_both, positives_both; /* sort alone */
    double auc[LCF_ARMS], auc_rows[LCF_ARMS], auc_positives[LCF_ARMS];
} sums;

typedef struct stream {
    const lcf_stream_options *options;
    const char *path[LCF_ARMS];
    lcf_comparison *out;
    sums groups[GROUPS];
    uint32_t *sketch[LCF_ARMS]; /* [SKETCH_BINS, GROUPS, 2] */
    lcf_extsort *by_score[LCF_ARMS], *by_user;
    lcf_auc_groups ranks[LCF_ARMS];
    bool ranked;
} stream;

static lcf_status init(stream *s, lcf_err *err)
{
    size_t pairs_max = s->options->pairs_max ? s->options->pairs_max : PAIRS_MAX;
    lcf_status status = LCF_OK;

    for (size_t a = 0; a < LCF_ARMS && !status; a++) {
        if (s->options->method == LCF_STREAM_SORT) {
            status = lcf_extsort_create(&s->by_score[a], pairs_max, err);
            continue;
        }
        s->sketch[a] = lcf_alloc_zero(SKETCH_BINS, GROUPS * 2 * sizeof(uint32_t));
        if (!s->sketch[a])
            status = LCF_FAIL(err, LCF_ENOMEM, "sketch of scores");
    }
    if (!status && s->options->method == LCF_STREAM_SORT)
        status = lcf_extsort_create(&s->by_user, pairs_max, err);
    return status;
}

static void dispose(stream *s)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        free(s->sketch[a]);
        lcf_extsort_free(s->by_score[a]);
    }
    lcf_extsort_free(s->by_user);
}

/* ---- reading ---- */

static bool same(lcf_str a, lcf_str b)
{
    return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static lcf_status check_pair(bool *keep, stream *s, const lcf_score_row rows[LCF_ARMS],
                             lcf_err *err)
{
    const char *what = !same(rows[0].key, rows[1].key)     ? "key"
                       : !same(rows[0].user, rows[1].user) ? "user"
                       : rows[0].label != rows[1].label    ? "label"
                                                           : NULL;

    *keep = true;
    if (what)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s:%zu and %s:%zu have another %s; streams need the same rows in the same "
                        "order",
                        s->path[0], rows[0].line, s->path[1], rows[1].line, what);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        float score = rows[a].scores[0];
        if (isnan(score) && s->options->allow_nan)
            *keep = false;
        else if (!(score >= 0 && score <= 1))
            return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the score is %g, not a probability",
                            s->path[a], rows[a].line, (double)score);
    }
    return LCF_OK;
}

static lcf_status count_in_sketch(uint32_t *sketch, float score, size_t group, uint8_t label,
                                  lcf_err *err)
{
    uint32_t bits, *count;

    score += 0.0f; /* no -0 */
    memcpy(&bits, &score, sizeof(bits));
    count = &sketch[((bits >> SKETCH_SHIFT) * GROUPS + group) * 2 + label];
    if (*count == UINT32_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "2^32 rows in one bin; use the sort");
    ++*count;
    return LCF_OK;
}

static lcf_status add_scores(stream *s, const lcf_score_row rows[LCF_ARMS], size_t group,
                             uint64_t user, lcf_err *err)
{
    uint8_t label = rows[0].label;
    uint64_t both = 0;
    lcf_status status = LCF_OK;

    for (size_t a = 0; a < LCF_ARMS && !status; a++) {
        uint64_t key = lcf_order_key(rows[a].scores[0], 0);
        both |= key >> 32 << (a ? 32 : 0);
        status = s->sketch[a] ? count_in_sketch(s->sketch[a], rows[a].scores[0], group, label, err)
                              : lcf_extsort_add(s->by_score[a], key, group << 1 | label, err);
    }
    if (!status && s->by_user) /* the hash gives a bit to the label */
        status = lcf_extsort_add(s->by_user, (user & ~UINT64_C(1)) | label, both, err);
    return status;
}

static lcf_status add_pair(stream *s, const lcf_score_row rows[LCF_ARMS], lcf_err *err)
{
    uint64_t user = lcf_hash64(rows[0].user.data, rows[0].user.len, 0);
    size_t group = user >> 32 & (GROUPS - 1);
    sums *g = &s->groups[group];
    uint8_t label = rows[0].label;

    g->rows++;
    g->positives += label;
    for (size_t a = 0; a < LCF_ARMS; a++) {
        float score = rows[a].scores[0];
        g->loss[a] += lcf_log_loss_row(score, label);
        g->brier[a] += lcf_brier_row(score, label);
        g->residual[a][lcf_calibration_bin_of(score)] += (double)score - label;
        lcf_calibration_add(&s->out->calibration[a], &score, &label, 1);
    }
    return add_scores(s, rows, group, user, err);
}

static lcf_status next_pair(bool *more, lcf_score_row rows[LCF_ARMS],
                            lcf_score_rows *readers[LCF_ARMS], const stream *s, lcf_err *err)
{
    bool there[LCF_ARMS] = {false, false};
    lcf_status status = LCF_OK;

    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = lcf_score_rows_next(&there[a], &rows[a], readers[a], err);
    *more = there[0] && there[1];
    if (!status && there[0] != there[1])
        status = LCF_FAIL(err, LCF_EFORMAT, "%s goes on at line %zu where %s ends",
                          s->path[there[0] ? 0 : 1], rows[there[0] ? 0 : 1].line,
                          s->path[there[0] ? 1 : 0]);
    return status;
}

static lcf_status open_both(lcf_score_rows *readers[LCF_ARMS], const stream *s, lcf_err *err)
{
    const uint64_t *seeds;

    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_status status = lcf_score_rows_open(&readers[a], s->path[a], err);
        if (status)
            return status;
        if (lcf_score_rows_seeds(readers[a], &seeds) != 1)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: a stream has one score column", s->path[a]);
        s->out->seeds[a] = lcf_alloc(1, sizeof(uint64_t));
        if (!s->out->seeds[a])
            return LCF_FAIL(err, LCF_ENOMEM, "seeds");
        s->out->seeds[a][0] = seeds[0];
        s->out->seeds_n[a] = 1;
    }
    return LCF_OK;
}

static lcf_status read_both(stream *s, lcf_err *err)
{
    lcf_score_rows *readers[LCF_ARMS] = {NULL, NULL};
    lcf_score_row rows[LCF_ARMS];
    bool more = true, keep;
    lcf_status status = open_both(readers, s, err);

    for (uint64_t i = 0; !status && more; i++) {
        if (i % STOP_EVERY == 0 && lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped in the stream; nothing was written");
        if (!status)
            status = next_pair(&more, rows, readers, s, err);
        if (!status && more)
            status = check_pair(&keep, s, rows, err);
        if (!status && more && keep)
            status = add_pair(s, rows, err);
        s->out->dropped.nan_n += !status && more && !keep;
    }
    lcf_score_rows_close(readers[0]);
    lcf_score_rows_close(readers[1]);
    return status;
}

/* ---- ranks ---- */

static void set_totals(stream *s)
{
    for (size_t a = 0; a < LCF_ARMS; a++)
        for (size_t g = 0; g < GROUPS; g++) {
            double of_class[2] = {s->groups[g].rows - s->groups[g].positives,
                                  s->groups[g].positives};
            for (size_t c = 0; c < 2; c++) {
                s->ranks[a].group_total[g][c] = of_class[c];
                s->ranks[a].total[c] += of_class[c];
            }
        }
}

static void rank_sketch(lcf_auc_groups *ranks, const uint32_t *sketch)
{
    uint64_t counts[GROUPS][2];

    for (size_t b = 0; b < SKETCH_BINS; b++) {
        uint64_t any = 0;
        for (size_t g = 0; g < GROUPS; g++)
            for (size_t c = 0; c < 2; c++)
                any |= counts[g][c] = sketch[(b * GROUPS + g) * 2 + c];
        if (any)
            lcf_auc_groups_add(ranks, counts);
    }
}

static lcf_status rank_sorted(lcf_auc_groups *ranks, lcf_extsort *sorted, lcf_err *err)
{
    uint64_t counts[GROUPS][2] = {{0}}, key = 0;
    lcf_pair pair = {0, 0};
    bool more = true;
    lcf_status status = lcf_extsort_rewind(sorted, err);

    while (!status && more) {
        status = lcf_extsort_next(&more, &pair, sorted, err);
        if (status || (more && pair.key == key)) {
            counts[pair.value >> 1][pair.value & 1]++;
            continue;
        }
        lcf_auc_groups_add(ranks, (const uint64_t(*)[2])counts);
        memset(counts, 0, sizeof(counts));
        key = pair.key;
        counts[pair.value >> 1][pair.value & 1]++;
    }
    return status;
}

/* ---- AUC within users, of the sort ---- */

typedef struct user_rows {
    uint64_t *keys[LCF_ARMS]; /* [n] as of lcf_order_key with the label */
    uint64_t *scratch;
    size_t n, capacity, other_capacity, scratch_capacity;
    double positives;
} user_rows;

static lcf_status add_user_row(user_rows *u, const lcf_pair *pair)
{
    uint64_t label = pair->key & 1;
    lcf_status status = lcf_grow((void **)&u->keys[0], &u->capacity, u->n + 1, sizeof(uint64_t));

    if (!status)
        status = lcf_grow((void **)&u->keys[1], &u->other_capacity, u->n + 1, sizeof(uint64_t));
    if (!status)
        status = lcf_grow((void **)&u->scratch, &u->scratch_capacity, u->n + 1, sizeof(uint64_t));
    if (status)
        return status;
    u->keys[0][u->n] = pair->value << 32 | label;
    u->keys[1][u->n++] = pair->value >> 32 << 32 | label;
    u->positives += (double)label;
    return LCF_OK;
}

static void end_user(stream *s, user_rows *u, uint64_t user)
{
    sums *g = &s->groups[user >> 32 & (GROUPS - 1)];
    double n = (double)u->n;

    s->out->users_n += u->n > 0;
    if (u->positives > 0 && u->positives < n) {
        g->users_both++;
        g->rows_both += n;
        g->positives_both += u->positives;
        for (size_t a = 0; a < LCF_ARMS; a++) {
            double auc;
            lcf_order_sort(u->keys[a], u->n, u->scratch);
            auc = lcf_auc_keys(u->keys[a], u->n);
            g->auc[a] += auc;
            g->auc_rows[a] += n * auc;
            g->auc_positives[a] += u->positives * auc;
        }
        s->out->users_both_n++;
    }
    u->n = 0;
    u->positives = 0;
}

static lcf_status rank_users(stream *s, lcf_err *err)
{
    user_rows u = {.n = 0};
    lcf_pair pair = {0, 0};
    uint64_t user = 0;
    bool more = true;
    lcf_status status = lcf_extsort_rewind(s->by_user, err);

    while (!status && more) {
        status = lcf_extsort_next(&more, &pair, s->by_user, err);
        if (status)
            break;
        if (!more || pair.key >> 1 != user) {
            end_user(s, &u, user << 1);
            user = pair.key >> 1;
        }
        if (more && add_user_row(&u, &pair))
            status = LCF_FAIL(err, LCF_ENOMEM, "%zu rows of a user", u.n);
    }
    free(u.keys[0]);
    free(u.keys[1]);
    free(u.scratch);
    return status;
}

static lcf_status rank(stream *s, lcf_err *err)
{
    lcf_status status = LCF_OK;

    set_totals(s);
    for (size_t a = 0; a < LCF_ARMS && !status; a++) {
        if (s->sketch[a])
            rank_sketch(&s->ranks[a], s->sketch[a]);
        else
            status = rank_sorted(&s->ranks[a], s->by_score[a], err);
        s->out->auc_bound[a] = s->sketch[a] ? lcf_auc_groups_bound(&s->ranks[a]) : 0;
    }
    if (!status && s->by_user)
        status = rank_users(s, err);
    return status;
}

/* ---- figures ---- */

static void add_sums(sums *to, const sums *from)
{
    double *t = (double *)to;
    const double *f = (const double *)from;

    _Static_assert(sizeof(sums) % sizeof(double) == 0, "a group's sums are doubles alone");
    for (size_t i = 0; i < sizeof(sums) / sizeof(double); i++)
        t[i] += f[i];
}

static double over(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

/* The measures of one arm from sums; group: the one left out, or GROUPS. */
static void measures_of(double *out, const stream *s, const sums *all, size_t arm, size_t group)
{
    double residual = 0, loss = over(all->loss[arm], all->rows);

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        out[m] = NAN;
    for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++)
        residual += fabs(all->residual[arm][b]);
    out[LCF_METRIC_AUC] = group == GROUPS ? lcf_auc_groups_value(&s->ranks[arm])
                                          : lcf_auc_groups_without(&s->ranks[arm], group);
    out[LCF_METRIC_LOGLOSS] = loss;
    out[LCF_METRIC_NE] = lcf_normalised_entropy(loss, all->positives, all->rows);
    out[LCF_METRIC_BRIER] = over(all->brier[arm], all->rows);
    out[LCF_METRIC_ECE] = over(residual, all->rows);
    out[LCF_METRIC_UAUC] = over(all->auc[arm], all->users_both);
    out[LCF_METRIC_GAUC_IMPRESSIONS] = over(all->auc_rows[arm], all->rows_both);
    out[LCF_METRIC_GAUC_POSITIVES] = over(all->auc_positives[arm], all->positives_both);
}

/* Standard error from the values without each group; groups without rows are none. */
static double jackknife_se(const double without[GROUPS], const double rows[GROUPS], double *df)
{
    double n = 0, mean = 0, square = 0;

    for (size_t g = 0; g < GROUPS; g++)
        if (rows[g] > 0) {
            n++;
            mean += without[g];
        }
    mean /= n;
    for (size_t g = 0; g < GROUPS; g++)
        if (rows[g] > 0)
            square += (without[g] - mean) * (without[g] - mean);
    *df = n - 1;
    return n > 1 ? sqrt(square * (n - 1) / n) : NAN;
}

static lcf_estimate student_estimate(double value, double se, double df)
{
    double half = lcf_student_quantile((1 + LCF_CONFIDENCE) / 2, df) * se;

    return (lcf_estimate){value, value - half, value + half};
}

static void fill_measure(lcf_measure *m, const double value[LCF_ARMS],
                         const double without[LCF_ARMS][GROUPS], const double rows[GROUPS],
                         size_t users_n)
{
    double lifts[GROUPS], df;

    for (size_t a = 0; a < LCF_ARMS; a++) {
        double se = jackknife_se(without[a], rows, &df);
        m->arm[a] = student_estimate(value[a], se, df);
        m->std[a] = NAN;
        m->per_seed[a][0] = value[a];
    }
    for (size_t g = 0; g < GROUPS; g++)
        lifts[g] = without[1][g] - without[0][g];
    m->se = jackknife_se(lifts, rows, &df);
    m->lift = student_estimate(value[1] - value[0], m->se, df);
    m->p = lcf_student_p(m->lift.value / m->se, df);
    m->bca_low = m->bca_high = m->lift_std = m->p_permutation = NAN;
    m->seeds_t = lcf_paired_t(NULL, 0, LCF_CONFIDENCE);
    m->detectable = lcf_detectable(m->se, LCF_CONFIDENCE, LCF_POWER);
    m->users_needed =
        users_n ? lcf_users_needed(m->lift.value, m->se, (double)users_n, LCF_CONFIDENCE, LCF_POWER)
                : NAN;
}

static lcf_status fill_measures(stream *s, lcf_err *err)
{
    double value[LCF_ARMS][LCF_METRICS_N], without[LCF_METRICS_N][LCF_ARMS][GROUPS], rows[GROUPS];
    sums all = {0};

    for (size_t g = 0; g < GROUPS; g++) {
        add_sums(&all, &s->groups[g]);
        rows[g] = s->groups[g].rows;
    }
    for (size_t a = 0; a < LCF_ARMS; a++)
        measures_of(value[a], s, &all, a, GROUPS);
    for (size_t g = 0; g < GROUPS; g++) {
        double some[LCF_METRICS_N];
        sums rest = {0};
        for (size_t k = 0; k < GROUPS; k++)
            if (k != g)
                add_sums(&rest, &s->groups[k]);
        for (size_t a = 0; a < LCF_ARMS; a++) {
            measures_of(some, s, &rest, a, g);
            for (size_t m = 0; m < LCF_METRICS_N; m++)
                without[m][a][g] = some[m];
        }
        s->out->left_out_n += rows[g] > 0;
    }
    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        lcf_measure *measure = &s->out->measures[m];
        for (size_t a = 0; a < LCF_ARMS; a++) {
            measure->per_seed[a] = lcf_alloc(1, sizeof(double));
            if (!measure->per_seed[a])
                return LCF_FAIL(err, LCF_ENOMEM, "figures");
        }
        fill_measure(measure, (const double[]){value[0][m], value[1][m]},
                     (const double(*)[GROUPS])without[m], rows, s->out->users_n);
    }
    s->out->rows_n = (size_t)all.rows;
    s->out->positives_n = (size_t)all.positives;
    return LCF_OK;
}

/* What needs the rows. */
static void fill_rest(lcf_comparison *c)
{
    const lcf_estimate none = {NAN, NAN, NAN};

    c->rela_impr = (lcf_estimate){lcf_rela_impr(c->measures[LCF_METRIC_AUC].arm[0].value,
                                                c->measures[LCF_METRIC_AUC].arm[1].value),
                                  NAN, NAN};
    c->delong = (lcf_delong_comparison){{none, none}, none, NAN, NAN, NAN, NAN};
    c->interleaving = (lcf_interleaving){{0, 0}, 0, NAN, NAN, NAN, NAN, 0};
    c->mcnemar = (lcf_mcnemar){0, 0, NAN, NAN, NAN};
    for (size_t a = 0; a < LCF_ARMS; a++) {
        c->calibration_fit[a] = (lcf_calibration_fit){NAN, NAN};
        for (size_t i = 0; i < LCF_ROC_POINTS; i++)
            c->roc[a][i] = NAN;
        for (size_t i = 0; i < LCF_PR_POINTS; i++)
            c->pr[a][i] = NAN;
    }
}

lcf_status lcf_stream_compare(lcf_comparison *out, const char *path_a, const char *path_b,
                              const lcf_stream_options *options, lcf_err *err)
{
    stream s = {.options = options, .path = {path_a, path_b}, .out = out};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    out->stream = options->method;
    status = init(&s, err);
    if (!status)
        status = read_both(&s, err);
    if (!status)
        status = rank(&s, err);
    if (!status)
        status = fill_measures(&s, err);
    if (!status && !out->rows_n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s and %s hold no row", path_a, path_b);
    if (!status)
        fill_rest(out);
    dispose(&s);
    if (status)
        lcf_comparison_dispose(out);
    return status;
}
