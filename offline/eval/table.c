/*
 * Alignment of two arms. Everything that would make a comparison meaningless is refused here, with
 * the row it was found in, so that the statistics need no checks of their own.
 */
#include "offline/eval/table.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const ARM_NAMES[LCF_ARMS] = {"A", "B"};

static lcf_status check_rows(const lcf_predictions *a, const lcf_predictions *b, lcf_err *err)
{
    size_t n = a->rows_n < b->rows_n ? a->rows_n : b->rows_n;

    for (size_t i = 0; i < n; i++) {
        if (a->row[i] != b->row[i])
            return LCF_FAIL(err, LCF_EFORMAT,
                            "the arms are about different rows: prediction %zu is sample %" PRIu64
                            " in A and sample %" PRIu64
                            " in B; train both arms on the same dataset",
                            i, a->row[i], b->row[i]);
        if (a->user[i] != b->user[i])
            return LCF_FAIL(err, LCF_EFORMAT,
                            "sample %" PRIu64 " belongs to user %u in A and to user %u in B; train "
                            "both arms on the same dataset",
                            a->row[i], a->user[i], b->user[i]);
        if (!a->label[i] != !b->label[i])
            return LCF_FAIL(err, LCF_EFORMAT,
                            "sample %" PRIu64 " has label %u in A and %u in B; train both arms on "
                            "the same dataset",
                            a->row[i], a->label[i], b->label[i]);
    }
    if (a->rows_n != b->rows_n)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "A has %zu rows and B has %zu: the first without a partner is sample "
                        "%" PRIu64,
                        a->rows_n, b->rows_n, a->rows_n > n ? a->row[n] : b->row[n]);
    return n ? LCF_OK : LCF_FAIL(err, LCF_EFORMAT, "the arms hold no row");
}

static lcf_status check_scores(const lcf_predictions *p, const char *arm, bool any_score,
                               lcf_err *err)
{
    if (!p->seeds_n)
        return LCF_FAIL(err, LCF_EFORMAT, "arm %s holds no seed", arm);
    for (size_t s = 0; s < p->seeds_n; s++)
        for (size_t i = 0; i < p->rows_n; i++) {
            float score = p->scores[s * p->rows_n + i];
            if (isnan(score) || (!any_score && !(score >= 0 && score <= 1)))
                return LCF_FAIL(err, LCF_EFORMAT,
                                "arm %s, seed %" PRIu64 ", sample %" PRIu64
                                ": the score is %g, not a probability",
                                arm, p->seeds[s], p->row[i], (double)score);
        }
    return LCF_OK;
}

static lcf_status check_classes(const lcf_predictions *p, lcf_err *err)
{
    for (size_t i = 1; i < p->rows_n; i++)
        if (!p->label[i] != !p->label[0])
            return LCF_OK;
    return LCF_FAIL(err, LCF_EFORMAT,
                    "all %zu rows, from sample %" PRIu64 " to %" PRIu64
                    ", have label %d: AUC needs both classes; --allow one-class goes on without",
                    p->rows_n, p->row[0], p->row[p->rows_n - 1], p->label[0] != 0);
}

static lcf_status allocate(lcf_eval_table *t, lcf_err *err)
{
    bool ok;

    t->row = lcf_alloc(t->rows_n + 1, sizeof(*t->row));
    t->label = lcf_alloc(t->rows_n + 1, sizeof(*t->label));
    t->user = lcf_alloc(t->rows_n + 1, sizeof(*t->user));
    ok = t->row && t->label && t->user;
    for (size_t a = 0; a < LCF_ARMS; a++) {
        size_t n;
        if (!lcf_mul_size(&n, t->seeds_n[a], t->rows_n))
            return LCF_FAIL(err, LCF_ENOMEM, "%zu x %zu scores", t->seeds_n[a], t->rows_n);
        t->scores[a] = lcf_alloc(n + 1, sizeof(float));
        t->seeds[a] = lcf_alloc(t->seeds_n[a] + 1, sizeof(uint64_t));
        ok = ok && t->scores[a] && t->seeds[a];
    }
    return ok ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "comparison of %zu rows", t->rows_n);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Replaces user numbers by their position among the distinct ones. */
static lcf_status number_users(lcf_eval_table *t, lcf_err *err)
{
    uint32_t *distinct = lcf_alloc(t->rows_n + 1, sizeof(*distinct));
    size_t n = 0;

    if (!distinct)
        return LCF_FAIL(err, LCF_ENOMEM, "users of %zu rows", t->rows_n);
    memcpy(distinct, t->user, t->rows_n * sizeof(*distinct));
    qsort(distinct, t->rows_n, sizeof(*distinct), compare_u32);
    for (size_t i = 0; i < t->rows_n; i++)
        if (!i || distinct[i] != distinct[i - 1])
            distinct[n++] = distinct[i];
    for (size_t i = 0; i < t->rows_n; i++) {
        const uint32_t *at = bsearch(&t->user[i], distinct, n, sizeof(*distinct), compare_u32);
        t->user[i] = (uint32_t)(at - distinct);
    }
    t->users_n = n;
    free(distinct);
    return LCF_OK;
}

static void copy_predictions(lcf_eval_table *t, const lcf_predictions *const arms[LCF_ARMS])
{
    const lcf_predictions *first = arms[0];

    memcpy(t->row, first->row, t->rows_n * sizeof(*t->row));
    memcpy(t->user, first->user, t->rows_n * sizeof(*t->user));
    for (size_t i = 0; i < t->rows_n; i++) {
        t->label[i] = first->label[i] != 0;
        t->positives_n += t->label[i];
    }
    for (size_t a = 0; a < LCF_ARMS; a++) {
        memcpy(t->scores[a], arms[a]->scores, t->seeds_n[a] * t->rows_n * sizeof(float));
        memcpy(t->seeds[a], arms[a]->seeds, t->seeds_n[a] * sizeof(uint64_t));
    }
    t->seeds_paired = t->seeds_n[0] == t->seeds_n[1] &&
                      !memcmp(t->seeds[0], t->seeds[1], t->seeds_n[0] * sizeof(uint64_t));
}

static lcf_status fill(lcf_eval_table *out, const lcf_predictions *const arms[LCF_ARMS],
                       const lcf_table_allow *allow, lcf_err *err)
{
    lcf_status status = check_rows(arms[0], arms[1], err);

    for (size_t arm = 0; arm < LCF_ARMS && !status; arm++)
        status = check_scores(arms[arm], ARM_NAMES[arm], allow->any_score, err);
    if (!status && !allow->one_class)
        status = check_classes(arms[0], err);
    if (status)
        return status;
    out->rows_n = arms[0]->rows_n;
    out->orders_only = allow->any_score;
    for (size_t arm = 0; arm < LCF_ARMS; arm++)
        out->seeds_n[arm] = arms[arm]->seeds_n;
    status = allocate(out, err);
    if (status)
        return status;
    copy_predictions(out, arms);
    return number_users(out, err);
}

/* The rows of p that the flags keep, as predictions of their own. */
static lcf_status keep_rows(lcf_predictions *out, const lcf_predictions *p, const uint8_t *keep,
                            size_t n, lcf_err *err)
{
    uint64_t *row = lcf_alloc(n + 1, sizeof(*row));
    uint32_t *user = lcf_alloc(n + 1, sizeof(*user));
    uint8_t *label = lcf_alloc(n + 1, 1);
    float *scores = lcf_alloc(n + 1, p->seeds_n * sizeof(*scores));
    size_t k = 0;

    *out = (lcf_predictions){NULL, n, p->seeds_n, row, user, label, p->seeds, scores};
    if (!row || !user || !label || !scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", n);
    for (size_t i = 0; i < p->rows_n; i++) {
        if (!keep[i])
            continue;
        row[k] = p->row[i];
        user[k] = p->user[i];
        label[k] = p->label[i];
        for (size_t s = 0; s < p->seeds_n; s++)
            scores[s * n + k] = p->scores[s * p->rows_n + i];
        k++;
    }
    return LCF_OK;
}

static void free_rows(lcf_predictions *p)
{
    free((void *)(uintptr_t)p->row);
    free((void *)(uintptr_t)p->user);
    free((void *)(uintptr_t)p->label);
    free((void *)(uintptr_t)p->scores);
}

/* Rows ascend in both: flags those that both have, and counts them. */
static size_t match_rows(uint8_t *keep[LCF_ARMS], const lcf_predictions *a,
                         const lcf_predictions *b)
{
    size_t n = 0;

    for (size_t i = 0, j = 0; i < a->rows_n && j < b->rows_n;) {
        if (a->row[i] < b->row[j])
            i++;
        else if (a->row[i] > b->row[j])
            j++;
        else {
            keep[0][i++] = keep[1][j++] = 1;
            n++;
        }
    }
    return n;
}

static lcf_status fill_matched(lcf_eval_table *out, const lcf_predictions *const arms[LCF_ARMS],
                               const lcf_table_allow *allow, lcf_err *err)
{
    lcf_predictions kept[LCF_ARMS] = {{.rows_n = 0}, {.rows_n = 0}};
    uint8_t *keep[LCF_ARMS] = {lcf_alloc_zero(arms[0]->rows_n + 1, 1),
                               lcf_alloc_zero(arms[1]->rows_n + 1, 1)};
    lcf_status status = LCF_OK;
    size_t n;

    if (!keep[0] || !keep[1]) {
        status = LCF_FAIL(err, LCF_ENOMEM, "match of %zu rows", arms[0]->rows_n);
        goto done;
    }
    n = match_rows(keep, arms[0], arms[1]);
    for (size_t a = 0; a < LCF_ARMS && !status; a++) {
        out->dropped.unmatched_n[a] = arms[a]->rows_n - n;
        status = keep_rows(&kept[a], arms[a], keep[a], n, err);
    }
    if (!status)
        status = fill(out, (const lcf_predictions *const[]){&kept[0], &kept[1]}, allow, err);
done:
    for (size_t a = 0; a < LCF_ARMS; a++) {
        free(keep[a]);
        free_rows(&kept[a]);
    }
    return status;
}

lcf_status lcf_eval_table_align(lcf_eval_table *out, const lcf_predictions *a,
                                const lcf_predictions *b, const lcf_table_allow *allow,
                                lcf_err *err)
{
    const lcf_predictions *const arms[LCF_ARMS] = {a, b};
    const lcf_table_allow nothing = {false, false, false, false, false};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    if (!allow)
        allow = &nothing;
    status = allow->unmatched ? fill_matched(out, arms, allow, err) : fill(out, arms, allow, err);
    if (status)
        lcf_eval_table_dispose(out);
    return status;
}

void lcf_eval_table_dispose(lcf_eval_table *t)
{
    free(t->row);
    free(t->label);
    free(t->user);
    free(t->gain);
    free((void *)(uintptr_t)t->items.of_row);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        free(t->scores[a]);
        free(t->seeds[a]);
    }
    memset(t, 0, sizeof(*t));
}

static void copy_slice(lcf_eval_table *out, const lcf_eval_table *t, const uint8_t *slice,
                       uint8_t which)
{
    size_t k = 0;

    for (size_t i = 0; i < t->rows_n; i++) {
        if (slice[i] != which)
            continue;
        out->row[k] = t->row[i];
        out->label[k] = t->label[i];
        out->user[k] = t->user[i];
        out->positives_n += t->label[i];
        for (size_t a = 0; a < LCF_ARMS; a++)
            for (size_t s = 0; s < t->seeds_n[a]; s++)
                out->scores[a][s * out->rows_n + k] = t->scores[a][s * t->rows_n + i];
        k++;
    }
    for (size_t a = 0; a < LCF_ARMS; a++)
        memcpy(out->seeds[a], t->seeds[a], t->seeds_n[a] * sizeof(uint64_t));
    out->seeds_paired = t->seeds_paired;
    out->orders_only = t->orders_only;
}

lcf_status lcf_eval_table_select(lcf_eval_table *out, const lcf_eval_table *t, const uint8_t *slice,
                                 uint8_t which, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < t->rows_n; i++)
        out->rows_n += slice[i] == which;
    for (size_t a = 0; a < LCF_ARMS; a++)
        out->seeds_n[a] = t->seeds_n[a];
    status = allocate(out, err);
    if (!status) {
        copy_slice(out, t, slice, which);
        status = number_users(out, err);
    }
    if (status)
        lcf_eval_table_dispose(out);
    return status;
}
