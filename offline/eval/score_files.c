/*
 * Rows of both files are interned by key. What is wrong with a row is said where it is read, with
 * its line; what is wrong with a pair when both are there.
 */
#include "offline/eval/score_files.h"

#include "common/base/mem.h"
#include "offline/data/intern.h"
#include "offline/eval/score_rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct arm {
    const char *path;
    size_t rows_n, seeds_n;
    bool has_gains, has_items;
    uint64_t seeds[LCF_SCORE_SEEDS_MAX];
    size_t *line;
    uint32_t *user, *item;
    uint8_t *label, *gain;
    float *scores; /* [rows_n, seeds_n] */
    size_t line_capacity, user_capacity, item_capacity, label_capacity, gain_capacity,
        scores_capacity;
    uint32_t *row_of; /* [keys] 1 + row, 0: none, DROPPED: there was one */
    size_t row_of_capacity, row_of_n;
} arm;

#define DROPPED UINT32_MAX

typedef struct loader {
    const lcf_table_allow *allow;
    lcf_table_dropped dropped;
    lcf_intern keys, users, items;
    arm arms[LCF_ARMS];
} loader;

static lcf_status grow_row(arm *a, size_t keys_n)
{
    lcf_status status = LCF_OK;
    size_t n = a->rows_n + 1, scores_n;
    const struct {
        void **array;
        size_t *capacity, size;
    } columns[] = {{(void **)&a->line, &a->line_capacity, sizeof(*a->line)},
                   {(void **)&a->user, &a->user_capacity, sizeof(*a->user)},
                   {(void **)&a->item, &a->item_capacity, sizeof(*a->item)},
                   {(void **)&a->label, &a->label_capacity, sizeof(*a->label)},
                   {(void **)&a->gain, &a->gain_capacity, sizeof(*a->gain)}};

    for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]) && !status; c++)
        status = lcf_grow(columns[c].array, columns[c].capacity, n, columns[c].size);
    if (!lcf_mul_size(&scores_n, n, a->seeds_n))
        return LCF_ENOMEM;
    if (!status)
        status = lcf_grow((void **)&a->scores, &a->scores_capacity, scores_n, sizeof(*a->scores));
    if (!status)
        status = lcf_grow((void **)&a->row_of, &a->row_of_capacity, keys_n, sizeof(*a->row_of));
    while (!status && a->row_of_n < keys_n)
        a->row_of[a->row_of_n++] = 0;
    return status;
}

static lcf_status refuse_score(const arm *a, const lcf_score_row *row, float score, lcf_err *err)
{
    return LCF_FAIL(err, LCF_EFORMAT,
                    isnan(score)
                        ? "%s:%zu: key '%.*s' has the score %g; --allow nan drops such rows"
                        : "%s:%zu: key '%.*s' has the score %g, not a probability; --allow "
                          "any-score takes scores as an order alone",
                    a->path, row->line, (int)row->key.len, row->key.data, (double)score);
}

/* *keep: the row is to be kept. */
static lcf_status check_row(bool *keep, loader *l, const arm *a, const lcf_score_row *row,
                            uint32_t key, lcf_err *err)
{
    *keep = true;
    if (key < a->row_of_n && a->row_of[key]) {
        if (!l->allow->duplicates)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s:%zu: key '%.*s' was there before%s; --allow duplicates keeps the "
                            "first of each",
                            a->path, row->line, (int)row->key.len, row->key.data,
                            a->row_of[key] == DROPPED ? "" : " in this file");
        l->dropped.duplicates_n++;
        *keep = false;
        return LCF_OK;
    }
    for (size_t s = 0; s < a->seeds_n; s++) {
        float score = row->scores[s];
        if (isnan(score) && l->allow->nan)
            *keep = false;
        else if (isnan(score) || (!(score >= 0 && score <= 1) && !l->allow->any_score))
            return refuse_score(a, row, score, err);
    }
    l->dropped.nan_n += !*keep;
    return LCF_OK;
}

static lcf_status add_row(loader *l, arm *a, const lcf_score_row *row, lcf_err *err)
{
    uint32_t key, user, item;
    bool keep;
    lcf_status status = lcf_intern_add(&key, &l->keys, row->key.data, row->key.len);

    if (!status)
        status = lcf_intern_add(&user, &l->users, row->user.data, row->user.len);
    if (!status)
        status = lcf_intern_add(&item, &l->items, row->item.data, row->item.len);
    if (!status)
        status = grow_row(a, l->keys.n);
    if (status)
        return LCF_FAIL(err, status, "%s:%zu: no room for more rows", a->path, row->line);
    status = check_row(&keep, l, a, row, key, err);
    if (status)
        return status;
    if (!keep) {
        a->row_of[key] = a->row_of[key] ? a->row_of[key] : DROPPED;
        return LCF_OK;
    }
    a->line[a->rows_n] = row->line;
    a->user[a->rows_n] = user;
    a->item[a->rows_n] = item;
    a->label[a->rows_n] = row->label;
    a->gain[a->rows_n] = row->gain;
    memcpy(a->scores + a->rows_n * a->seeds_n, row->scores, a->seeds_n * sizeof(float));
    a->row_of[key] = (uint32_t)++a->rows_n;
    return LCF_OK;
}

static lcf_status load_arm(loader *l, arm *a, lcf_err *err)
{
    lcf_score_rows *rows = NULL;
    lcf_score_row row;
    const uint64_t *seeds;
    bool more = true;
    lcf_status status = lcf_score_rows_open(&rows, a->path, err);

    if (status)
        return status;
    a->seeds_n = lcf_score_rows_seeds(rows, &seeds);
    memcpy(a->seeds, seeds, a->seeds_n * sizeof(*seeds));
    a->has_gains = lcf_score_rows_have_gains(rows);
    a->has_items = lcf_score_rows_have_items(rows);
    while (!status && more) {
        status = lcf_score_rows_next(&more, &row, rows, err);
        if (!status && more)
            status = add_row(l, a, &row, err);
    }
    lcf_score_rows_close(rows);
    return status;
}

static size_t row_of(const arm *a, uint32_t key)
{
    return key < a->row_of_n && a->row_of[key] && a->row_of[key] != DROPPED ? a->row_of[key]
                                                                            : SIZE_MAX;
}

static bool was_dropped(const arm *a, uint32_t key)
{
    return key < a->row_of_n && a->row_of[key] == DROPPED;
}

/* *keep: both arms have the key, and agree. */
static lcf_status check_pair(bool *keep, loader *l, uint32_t key, lcf_err *err)
{
    const arm *a = &l->arms[0], *b = &l->arms[1];
    size_t i = row_of(a, key) - 1, j = row_of(b, key) - 1;
    lcf_str text =
        lcf_strings_get(&(lcf_strings){l->keys.n, l->keys.offsets, l->keys.chars, NULL}, key);

    *keep = row_of(a, key) != SIZE_MAX && row_of(b, key) != SIZE_MAX;
    if (!*keep) {
        const arm *has = row_of(a, key) != SIZE_MAX ? a : b;
        bool dropped = was_dropped(a, key) || was_dropped(b, key);
        if (!dropped && !l->allow->unmatched)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s:%zu: key '%.*s' is not in %s; --allow unmatched drops such rows",
                            has->path, has->line[has == a ? i : j], (int)text.len, text.data,
                            has == a ? b->path : a->path);
        l->dropped.unmatched_n[has == b] += !dropped;
        return LCF_OK;
    }
    if (a->user[i] != b->user[j] || a->label[i] != b->label[j] || a->gain[i] != b->gain[j])
        return LCF_FAIL(err, LCF_EFORMAT, "key '%.*s' has another %s in %s:%zu than in %s:%zu",
                        (int)text.len, text.data,
                        a->user[i] != b->user[j]     ? "user"
                        : a->label[i] != b->label[j] ? "label"
                                                     : "gain",
                        b->path, b->line[j], a->path, a->line[i]);
    return LCF_OK;
}

/* Keys in byte order that both arms have. */
static lcf_status match(uint32_t *keys, size_t *n, loader *l, lcf_err *err)
{
    lcf_status status = LCF_OK;

    *n = 0;
    for (size_t i = 0; i < l->keys.n && !status; i++) {
        uint32_t key = l->keys.sorted[i];
        bool keep;
        if (!key)
            continue;
        status = check_pair(&keep, l, key, err);
        if (!status && keep)
            keys[(*n)++] = key;
    }
    return status;
}

/* The arm's matched rows as predictions; arrays are freed by free_predictions. */
static lcf_status gather(lcf_predictions *out, const arm *a, const uint32_t *keys, size_t n,
                         const uint32_t *user_rank, lcf_err *err)
{
    uint64_t *row = lcf_alloc(n + 1, sizeof(*row));
    uint32_t *user = lcf_alloc(n + 1, sizeof(*user));
    uint8_t *label = lcf_alloc(n + 1, 1);
    float *scores = lcf_alloc(n + 1, a->seeds_n * sizeof(*scores));

    *out = (lcf_predictions){NULL, n, a->seeds_n, row, user, label, a->seeds, scores};
    if (!row || !user || !label || !scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rows", n);
    for (size_t i = 0; i < n; i++) {
        size_t from = a->row_of[keys[i]] - 1;
        row[i] = i;
        user[i] = user_rank[a->user[from]];
        label[i] = a->label[from];
        for (size_t s = 0; s < a->seeds_n; s++)
            scores[s * n + i] = a->scores[from * a->seeds_n + s];
    }
    return LCF_OK;
}

static void free_predictions(lcf_predictions *p)
{
    free((void *)(uintptr_t)p->row);
    free((void *)(uintptr_t)p->user);
    free((void *)(uintptr_t)p->label);
    free((void *)(uintptr_t)p->scores);
}

/* Gains and items of A. */
static lcf_status add_columns(lcf_eval_table *t, loader *l, const uint32_t *keys, lcf_err *err)
{
    const arm *a = &l->arms[0];
    uint32_t *items = NULL;

    if (a->has_gains)
        t->gain = lcf_alloc(t->rows_n + 1, 1);
    if (a->has_items)
        t->items.of_row = items = lcf_alloc(t->rows_n + 1, sizeof(*items));
    if ((a->has_gains && !t->gain) || (a->has_items && !items))
        return LCF_FAIL(err, LCF_ENOMEM, "columns of %zu rows", t->rows_n);
    for (size_t i = 0; i < t->rows_n; i++) {
        size_t from = a->row_of[keys[i]] - 1;
        if (t->gain)
            t->gain[i] = a->gain[from];
        if (items)
            items[i] = a->item[from];
    }
    if (items) {
        t->items.items_n = l->items.n;
        t->items.unknown_n = 1;
    }
    return LCF_OK;
}

static lcf_status make_table(lcf_eval_table *out, loader *l, lcf_err *err)
{
    lcf_predictions p[LCF_ARMS] = {{.rows_n = 0}, {.rows_n = 0}};
    uint32_t *keys = lcf_alloc(l->keys.n + 1, sizeof(*keys));
    uint32_t *user_rank = lcf_alloc(l->users.n + 1, sizeof(*user_rank));
    size_t n;
    lcf_status status = keys && user_rank ? LCF_OK : LCF_ENOMEM;

    if (!status)
        status = lcf_intern_sort(&l->keys);
    if (!status)
        status = lcf_intern_sort(&l->users);
    if (status) {
        status = LCF_FAIL(err, status, "%zu keys", l->keys.n);
        goto done;
    }
    for (size_t i = 0; i < l->users.n; i++)
        user_rank[l->users.sorted[i]] = (uint32_t)i;
    status = match(keys, &n, l, err);
    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = gather(&p[a], &l->arms[a], keys, n, user_rank, err);
    if (!status)
        status = lcf_eval_table_align(out, &p[0], &p[1], l->allow, err);
    if (!status) {
        out->dropped = l->dropped;
        status = add_columns(out, l, keys, err);
        if (status)
            lcf_eval_table_dispose(out);
    }
done:
    free(keys);
    free(user_rank);
    for (size_t a = 0; a < LCF_ARMS; a++)
        free_predictions(&p[a]);
    return status;
}

static void dispose_arm(arm *a)
{
    free(a->line);
    free(a->user);
    free(a->item);
    free(a->label);
    free(a->gain);
    free(a->scores);
    free(a->row_of);
}

lcf_status lcf_score_files_table(lcf_eval_table *out, const char *path_a, const char *path_b,
                                 const lcf_table_allow *allow, lcf_err *err)
{
    loader l = {.allow = allow, .arms = {{.path = path_a}, {.path = path_b}}};
    lcf_status status = lcf_intern_init(&l.keys);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = lcf_intern_init(&l.users);
    if (!status)
        status = lcf_intern_init(&l.items);
    if (status)
        status = LCF_FAIL(err, status, "tables of keys");
    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = load_arm(&l, &l.arms[a], err);
    if (!status)
        status = make_table(out, &l, err);
    for (size_t a = 0; a < LCF_ARMS; a++)
        dispose_arm(&l.arms[a]);
    lcf_intern_dispose(&l.keys);
    lcf_intern_dispose(&l.users);
    lcf_intern_dispose(&l.items);
    return status;
}
