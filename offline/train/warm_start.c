/* Warm start: see warm_start.h. Invariant: row 0 of every table, the unknown, is never written. */
#include "offline/train/warm_start.h"

#include "common/base/file.h"
#include "common/base/progress.h"
#include "offline/train/seed_runs.h"

#include <stdlib.h>
#include <string.h>

/* A table and the names that its rows go by, today and in the earlier dataset; NULL: by their
 * number. */
typedef struct named_table {
    const char *name;
    const lcf_strings *now, *before;
    size_t now_n, before_n;
} named_table;

static lcf_status open_earlier(lcf_ranker **out, const char *dir, uint64_t seed, lcf_err *err)
{
    char *same = seed_runs_path(dir, seed, ".lcf"), *best = lcf_path_join(dir, "best.lcf");
    lcf_status status;

    if (!same || !best)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths in %s", dir);
    else
        status = lcf_ranker_open(out, lcf_path_exists(same) ? same : best, err);
    free(same);
    free(best);
    return status;
}

/* Rows by name; returns how many were found. */
static size_t copy_rows(float *to, const float *from, const named_table *t, size_t width)
{
    size_t found = 0;

    for (size_t row = 1; row < t->now_n; row++) {
        const lcf_str name = t->now ? lcf_strings_get(t->now, row) : (lcf_str){"", 0};
        const size_t old = t->now ? lcf_strings_find(t->before, name.data, name.len) : row;

        if (!old)
            continue;
        memcpy(to + row * width, from + old * width, width * sizeof(*to));
        found++;
    }
    return found;
}

static lcf_status take_table(lcf_params *to, const lcf_params *from, const named_table *t,
                             const char *dir, lcf_err *err)
{
    const size_t i = lcf_params_find(to, t->name), j = lcf_params_find(from, t->name);
    size_t found;

    if (i == (size_t)-1 || j == (size_t)-1)
        return LCF_OK;
    if (from->list[j].dims[0] != t->before_n || to->list[i].dims[0] != t->now_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s: %s has %zu rows, the dataset given with it %zu; give the dataset "
                        "that it was trained on",
                        dir, t->name, from->list[j].dims[0], t->before_n);
    if (from->list[j].dims[1] != to->list[i].dims[1])
        return LCF_FAIL(err, LCF_EINVAL, "%s: rows of %s have %zu values, not %zu", dir, t->name,
                        from->list[j].dims[1], to->list[i].dims[1]);
    found = copy_rows(lcf_params_value(to, i), lcf_params_value(from, j), t, to->list[i].dims[1]);
    lcf_log(LCF_LOG_INFO, "msg=\"warm start\" table=%s rows=%zu known=%zu", t->name, t->now_n - 1,
            found);
    return LCF_OK;
}

/* Whatever is no table, by name. */
static lcf_status take_others(lcf_params *to, const lcf_params *from, const char *dir, lcf_err *err)
{
    for (size_t i = 0; i < to->list_n; i++) {
        const lcf_param *param = &to->list[i];
        const size_t j = lcf_params_find(from, param->name);

        if (param->row0_zero || j == (size_t)-1)
            continue;
        if (from->list[j].dims_n != param->dims_n ||
            memcmp(from->list[j].dims, param->dims, param->dims_n * sizeof(param->dims[0])))
            return LCF_FAIL(err, LCF_EINVAL,
                            "%s: %s has another shape; a ranker begins with one of its own kind "
                            "and sizes",
                            dir, param->name);
        memcpy(lcf_params_value(to, i), lcf_params_value(from, j), param->n * sizeof(float));
    }
    return LCF_OK;
}

lcf_status train_warm_start(lcf_ranker *r, const lcf_dataset *now, const char *dir, uint64_t seed,
                            const lcf_dataset *before, lcf_err *err)
{
    const lcf_catalogue *c = &now->catalogue, *b = &before->catalogue;
    const named_table tables[] = {
        {"user.table", &now->user_id, &before->user_id, now->users_n, before->users_n},
        {"item.table", &c->item_id, &b->item_id, c->items_n, b->items_n},
        {"brand.table", &c->brand, &b->brand, c->brands_n, b->brands_n},
        {"category.table", &c->category, &b->category, c->categories_n, b->categories_n},
        {"linear.user.table", &now->user_id, &before->user_id, now->users_n, before->users_n},
        {"linear.item.table", &c->item_id, &b->item_id, c->items_n, b->items_n},
        {"linear.brand.table", &c->brand, &b->brand, c->brands_n, b->brands_n},
        {"linear.category.table", &c->category, &b->category, c->categories_n, b->categories_n},
        {"history.label.table", NULL, NULL, LCF_EVENT_LABELS_N, LCF_EVENT_LABELS_N},
    };
    lcf_params *to = lcf_ranker_params(r);
    lcf_ranker *earlier = NULL;
    lcf_status status = open_earlier(&earlier, dir, seed, err);

    if (!status && lcf_ranker_config_of(r)->head_norm != lcf_ranker_config_of(earlier)->head_norm)
        status = LCF_FAIL(err, LCF_EINVAL,
                          "%s: one of the two rankers has batch normalisation, the other none; "
                          "give the same --norm",
                          dir);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !status; i++)
        status = take_table(to, lcf_ranker_params(earlier), &tables[i], dir, err);
    if (!status)
        status = take_others(to, lcf_ranker_params(earlier), dir, err);
    lcf_ranker_free(earlier);
    return status;
}
