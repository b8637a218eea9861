/* The embedded fields of a batch: the tables that all parts of a ranker share, and their rows. */
#include "common/model/backbone.h"

lcf_status lcf_ranker_declare_tables(lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const struct {
        const char *name;
        size_t *idx, rows;
    } tables[] = {{"user.table", &r->user_table, c->users_n},
                  {"item.table", &r->item_table, c->items_n},
                  {"brand.table", &r->brand_table, c->brands_n},
                  {"category.table", &r->category_table, c->categories_n}};
    static const struct {
        size_t begin, end;
    } used[] = {[RANKER_TABLES_ALL] = {0, 4},
                [RANKER_TABLES_IDS] = {0, 2},
                [RANKER_TABLES_ITEMS] = {1, 2},
                [RANKER_TABLES_NONE] = {0, 0}};
    lcf_status status = LCF_OK;

    r->user_dim = c->dim;
    r->item_dim = 3 * (size_t)c->dim;
    r->tables = r->side->forward ? RANKER_TABLES_ALL : r->backbone->tables;
    for (size_t i = used[r->tables].begin; i < used[r->tables].end && !status; i++)
        status =
            lcf_ranker_add_table(tables[i].idx, r, tables[i].name, tables[i].rows, c->dim, err);
    if (!status && r->tables == RANKER_TABLES_ALL && c->history_labels)
        status = lcf_ranker_add_table(&r->history_label_table, r, "history.label.table",
                                      LCF_EVENT_LABELS_N, c->dim, err);
    if (!status && r->tables == RANKER_TABLES_ALL)
        status = lcf_ranker_declare_schema(r, err);
    return status;
}

static lcf_tensor *build_items(const ranker_pass *p)
{
    const ranker_batch *b = p->batch;
    const lcf_lookup tables[] = {
        {lcf_ranker_param(p, p->r->item_table), b->item_id, NULL},
        {lcf_ranker_param(p, p->r->brand_table), b->item_brand, NULL},
        {lcf_ranker_param(p, p->r->category_table), b->categories, b->category_offsets}};
    lcf_tensor *parts[2 + LCF_FIELDS_MAX];
    size_t n;

    if (p->r->config.history_labels) {
        lcf_tensor *label = lcf_op_gather(p->tape, lcf_ranker_param(p, p->r->history_label_table),
                                          b->item_label, b->items_n);

        parts[0] = lcf_op_add(p->tape, lcf_op_lookup(p->tape, tables, 1, b->items_n), label);
        parts[1] = lcf_op_lookup(p->tape, tables + 1, 2, b->items_n);
        n = 2;
    } else {
        parts[0] = lcf_op_lookup(p->tape, tables, 3, b->items_n);
        n = 1;
    }
    n += lcf_ranker_schema_parts(parts + n, p, LCF_FIELD_ITEM, b->items_n);
    return n > 1 ? lcf_op_concat(p->tape, parts, n) : parts[0];
}

lcf_tensor *lcf_ranker_users(const ranker_pass *p, size_t n)
{
    lcf_tensor *parts[1 + LCF_FIELDS_MAX];
    size_t parts_n;

    parts[0] = lcf_op_gather(p->tape, lcf_ranker_param(p, p->r->user_table), p->batch->user, n);
    parts_n = 1 + lcf_ranker_schema_parts(parts + 1, p, LCF_FIELD_USER, n);
    return parts_n > 1 ? lcf_op_concat(p->tape, parts, parts_n) : parts[0];
}

static lcf_tensor *build_context(const ranker_pass *p)
{
    lcf_tensor *parts[LCF_FIELDS_MAX];
    const size_t n = lcf_ranker_schema_parts(parts, p, LCF_FIELD_CONTEXT, p->batch->rows_n);

    return n ? lcf_op_concat(p->tape, parts, n) : NULL;
}

void lcf_ranker_fields_build(ranker_fields *f, const ranker_pass *p)
{
    const ranker_batch *b = p->batch;

    *f = (ranker_fields){0};
    if (p->r->tables != RANKER_TABLES_ALL)
        return;
    f->items = build_items(p);
    f->user = lcf_ranker_users(p, b->rows_n);
    f->target = lcf_op_gather(p->tape, f->items, b->item, b->rows_n);
    f->context = build_context(p);
}

lcf_tensor *lcf_ranker_history_means(const ranker_pass *p, ranker_fields *f)
{
    const ranker_batch *b = p->batch;

    if (!f->means)
        f->means = lcf_op_gather_mean(p->tape, f->items, b->history_items, b->history_offsets,
                                      b->histories_n);
    return f->means;
}

lcf_tensor *lcf_ranker_row_means(const ranker_pass *p, ranker_fields *f)
{
    lcf_tensor *means = lcf_ranker_history_means(p, f);

    if (p->batch->histories_n == p->batch->rows_n) /* one each, and no others */
        return means;
    return lcf_op_gather(p->tape, means, p->batch->history, p->batch->rows_n);
}

lcf_tensor *lcf_ranker_fields_with(const ranker_pass *p, const ranker_fields *f,
                                   lcf_tensor *history)
{
    lcf_tensor *parts[5] = {f->user, f->target, history};
    size_t n = 3;

    if (f->context)
        parts[n++] = f->context;
    if (f->extra)
        parts[n++] = f->extra;
    return lcf_op_concat(p->tape, parts, n);
}

lcf_tensor *lcf_ranker_all_fields(const ranker_pass *p, ranker_fields *f)
{
    return lcf_ranker_fields_with(p, f, lcf_ranker_row_means(p, f));
}

size_t lcf_ranker_all_fields_dim(const lcf_ranker *r, size_t extra_dim)
{
    return r->user_dim + 2 * r->item_dim + r->context_dim + extra_dim;
}
