/*
 * Fields of the data's own schema: their parameters, what a batch takes of them, and their part in
 * the vectors of users, items and the context.
 *
 * A field is one vector of `dim` per entity: the mean of its ids' rows in an embedding table, or a
 * given vector mapped by a matrix (plus, where it is trained, an offset of its own that starts at
 * zero, which is the given vector fine-tuned). An entity without a value has zeros.
 *
 * source   schemas/fields.md section 4
 */
#include "common/model/backbone.h"

#include <stdio.h>
#include <string.h>

/* ---- parameters ---- */

static size_t shared_table(const lcf_ranker *r, const lcf_ranker_field *f)
{
    switch (f->table) {
    case LCF_FIELD_TABLE_USER:
        return r->user_table;
    case LCF_FIELD_TABLE_ITEM:
        return r->item_table;
    case LCF_FIELD_TABLE_BRAND:
        return r->brand_table;
    case LCF_FIELD_TABLE_CATEGORY:
        return r->category_table;
    default:
        return r->field_table[f->shares];
    }
}

static lcf_status declare_vector(lcf_ranker *r, size_t i, const char *name, lcf_err *err)
{
    const lcf_ranker_field *f = &r->config.fields[i];
    char full[LCF_PARAM_NAME_MAX];
    lcf_status status;

    snprintf(full, sizeof(full), "%s.w", name);
    status = lcf_ranker_add_matrix(&r->field_map[i], r, full, r->config.dim, f->dim, f->dim, err);
    if (status || f->frozen)
        return status;
    snprintf(full, sizeof(full), "%s.table", name);
    return lcf_ranker_add(&r->field_table[i], r, full, f->rows, f->dim, LCF_INIT_ZERO, 0.0f, err);
}

lcf_status lcf_ranker_declare_schema(lcf_ranker *r, lcf_err *err)
{
    size_t *const widths[LCF_FIELD_OWNERS_N] = {&r->user_dim, &r->item_dim, &r->context_dim};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->config.fields_n && !status; i++) {
        const lcf_ranker_field *f = &r->config.fields[i];
        char name[LCF_PARAM_NAME_MAX - 8], full[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "field.%s.%s", LCF_FIELD_OWNER_NAMES[f->owner], f->name);
        *widths[f->owner] += r->config.dim;
        if (f->dim) {
            status = declare_vector(r, i, name, err);
        } else if (f->table == LCF_FIELD_TABLE_OWN) {
            snprintf(full, sizeof(full), "%s.table", name);
            status = lcf_ranker_add_table(&r->field_table[i], r, full, f->rows, r->config.dim, err);
        } else {
            r->field_table[i] = shared_table(r, f);
        }
    }
    return status;
}

/* ---- the configuration ---- */

uint32_t lcf_ranker_field_rows(const lcf_ranker_config *c, size_t i)
{
    const lcf_ranker_field *f = &c->fields[i];

    switch (f->table) {
    case LCF_FIELD_TABLE_USER:
        return c->users_n;
    case LCF_FIELD_TABLE_ITEM:
        return c->items_n;
    case LCF_FIELD_TABLE_BRAND:
        return c->brands_n;
    case LCF_FIELD_TABLE_CATEGORY:
        return c->categories_n;
    case LCF_FIELD_TABLE_FIELD:
        return c->fields[f->shares].rows;
    default:
        return f->rows;
    }
}

void lcf_ranker_config_fields(lcf_ranker_config *c, const lcf_fields *fields)
{
    c->fields_n = fields ? fields->n : 0;
    for (size_t i = 0; i < c->fields_n; i++) {
        const lcf_field *from = &fields->list[i];
        lcf_ranker_field *to = &c->fields[i];

        *to = (lcf_ranker_field){.owner = from->owner, .dim = from->dim, .frozen = from->frozen};
        memcpy(to->name, from->name, sizeof(to->name));
        to->table = from->table;
        to->shares = from->shares;
        if (from->dim && !from->frozen)
            to->rows = (uint32_t)from->entities_n;
        else if (!from->dim && from->table == LCF_FIELD_TABLE_OWN)
            to->rows = from->table_rows;
    }
}

lcf_status lcf_ranker_check_fields(const lcf_ranker_config *c, const lcf_fields *fields,
                                   lcf_err *err)
{
    for (size_t i = 0; i < c->fields_n; i++) {
        const lcf_ranker_field *f = &c->fields[i];
        const lcf_field *found = fields ? lcf_fields_find(fields, f->owner, f->name) : NULL;

        if (!found || found->dim != f->dim || found->table != f->table)
            return LCF_FAIL(err, LCF_EINVAL,
                            "the ranker was made for a field %s of the %s %s, which the data does "
                            "not have",
                            f->name, LCF_FIELD_OWNER_NAMES[f->owner],
                            f->dim ? "with vectors" : "with ids");
    }
    return LCF_OK;
}

/* ---- a batch ---- */

/* Entities of one owner in a batch: index into the field's, or none at `none` and beyond. */
typedef struct entities {
    const uint32_t *index;
    size_t n, rows_n; /* the first rows_n are those of rows, the others of examples */
} entities;

/* The ids of an entity, *n of them; NULL where it has none. */
static const uint32_t *ids_of(size_t *n, const lcf_field *f, const entities *e, size_t i)
{
    const uint32_t entity = e->index[i];

    if (f->given && i < e->rows_n) {
        *n = f->given_n;
        return f->given;
    }
    *n = entity < f->entities_n ? (size_t)(f->offsets[entity + 1] - f->offsets[entity]) : 0;
    return *n ? f->ids + f->offsets[entity] : NULL;
}

static bool take_ids(ranker_field_batch *b, lcf_tape *tape, const lcf_field *f, const entities *e,
                     uint32_t rows)
{
    size_t total = 0, n;
    uint32_t at = 0;

    for (size_t i = 0; i < e->n; i++) {
        (void)ids_of(&n, f, e, i);
        total += n;
    }
    b->ids = lcf_tape_alloc(tape, total + 1, sizeof(*b->ids));
    b->offsets = lcf_tape_alloc(tape, e->n + 1, sizeof(*b->offsets));
    if (!b->ids || !b->offsets)
        return false;
    b->offsets[0] = 0;
    for (size_t i = 0; i < e->n; i++) {
        const uint32_t *ids = ids_of(&n, f, e, i);

        for (size_t j = 0; j < n; j++)
            if (ids[j] < rows) /* newer than the weights: as if it were not there */
                b->ids[at++] = ids[j];
        b->offsets[i + 1] = at;
    }
    return true;
}

static bool take_vectors(ranker_field_batch *b, lcf_tape *tape, const lcf_field *f,
                         const entities *e, uint32_t rows)
{
    uint32_t at = 0;

    b->vectors = lcf_tape_alloc(tape, e->n * f->dim + 1, sizeof(float));
    b->ids = lcf_tape_alloc(tape, e->n + 1, sizeof(*b->ids));
    b->offsets = lcf_tape_alloc(tape, e->n + 1, sizeof(*b->offsets));
    if (!b->vectors || !b->ids || !b->offsets)
        return false;
    b->offsets[0] = 0;
    for (size_t i = 0; i < e->n; i++) {
        const bool there = e->index[i] < f->entities_n;

        if (there && e->index[i] < rows) /* newer than the weights: nothing is added */
            b->ids[at++] = e->index[i];
        b->offsets[i + 1] = at;
        if (there)
            memcpy(b->vectors + i * f->dim, f->vectors + (size_t)e->index[i] * f->dim,
                   f->dim * sizeof(float));
        else
            memset(b->vectors + i * f->dim, 0, f->dim * sizeof(float));
    }
    return true;
}

bool lcf_ranker_take_fields(ranker_batch *b, lcf_tape *tape, const lcf_ranker *r,
                            const lcf_ranker_source *source, const lcf_ranker_row *rows,
                            const uint32_t *catalogue_item)
{
    const size_t n = r->config.fields_n;
    uint32_t *context = n ? lcf_tape_alloc(tape, b->rows_n, sizeof(*context)) : NULL;
    const entities all[LCF_FIELD_OWNERS_N] = {{b->user, b->decisions_n, b->rows_n},
                                              {catalogue_item, b->items_n, 0},
                                              {context, b->rows_n, 0}};

    if (!n)
        return true;
    b->fields = lcf_tape_alloc(tape, n, sizeof(*b->fields));
    if (!b->fields || !context)
        return false;
    memset(b->fields, 0, n * sizeof(*b->fields));
    for (size_t i = 0; i < b->rows_n; i++)
        context[i] = rows[i].context - 1; /* none becomes the largest */
    for (size_t i = 0; i < n; i++) {
        const lcf_ranker_field *f = &r->config.fields[i];
        const lcf_field *from = lcf_fields_find(source->fields, f->owner, f->name);
        const uint32_t table_rows = lcf_ranker_field_rows(&r->config, i);
        const bool done = f->dim
                              ? take_vectors(&b->fields[i], tape, from, &all[f->owner], table_rows)
                              : take_ids(&b->fields[i], tape, from, &all[f->owner], table_rows);

        if (!done)
            return false;
    }
    return true;
}

/* ---- tensors ---- */

static lcf_tensor *vector_field(const ranker_pass *p, size_t i, size_t n)
{
    const lcf_ranker_field *f = &p->r->config.fields[i];
    const ranker_field_batch *b = &p->batch->fields[i];
    const size_t dims[2] = {n, f->dim};
    lcf_tensor *x = lcf_tape_input(p->tape, b->vectors, dims, 2);

    if (!f->frozen)
        x = lcf_op_add(p->tape, x,
                       lcf_op_gather_mean(p->tape, lcf_ranker_param(p, p->r->field_table[i]),
                                          b->ids, b->offsets, n));
    return lcf_op_linear(p->tape, x, lcf_ranker_param(p, p->r->field_map[i]), NULL);
}

size_t lcf_ranker_schema_parts(lcf_tensor **parts, const ranker_pass *p, lcf_field_owner owner,
                               size_t n)
{
    size_t parts_n = 0;

    for (size_t i = 0; i < p->r->config.fields_n; i++) {
        const lcf_ranker_field *f = &p->r->config.fields[i];
        const ranker_field_batch *b = &p->batch->fields[i];

        if (f->owner != owner)
            continue;
        parts[parts_n++] =
            f->dim ? vector_field(p, i, n)
                   : lcf_op_gather_mean(p->tape, lcf_ranker_param(p, p->r->field_table[i]), b->ids,
                                        b->offsets, n);
    }
    return parts_n;
}
