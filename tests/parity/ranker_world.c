/* Reads the golden files into the structs that the ranker works on. */
#include "tests/parity/ranker_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const golden_tensor *ranker_world_get(const ranker_world *w, const char *prefix, const char *name)
{
    return golden_get(&w->golden, prefix, name);
}

static void *own(ranker_world *w, size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    assert_non_null(p);
    assert_true(w->owned_n < 32);
    return w->owned[w->owned_n++] = p;
}

/* -1 becomes LCF_EXAMPLE_NONE. */
static uint32_t *u32_of(ranker_world *w, const char *name)
{
    const golden_tensor *t = ranker_world_get(w, "world.", name);
    uint32_t *out = own(w, t->n, sizeof(uint32_t));

    for (size_t i = 0; i < t->n; i++)
        out[i] = t->data[i] < 0 ? LCF_EXAMPLE_NONE : (uint32_t)t->data[i];
    return out;
}

/* The values of a tensor of the world, NULL where this world lacks it. */
static const float *values_of(const ranker_world *w, const char *name)
{
    char full[128];

    snprintf(full, sizeof(full), "world.%s", name);
    for (size_t i = 0; i < w->golden.list_n; i++)
        if (!strcmp(w->golden.list[i].name, full))
            return w->golden.list[i].data;
    return NULL;
}

static int64_t *i64_of(ranker_world *w, const char *name)
{
    const golden_tensor *t = ranker_world_get(w, "world.", name);
    int64_t *out = own(w, t->n, sizeof(*out));

    for (size_t i = 0; i < t->n; i++)
        out[i] = (int64_t)t->data[i];
    return out;
}

static void make_known(lcf_known *k, ranker_world *w, const char *begin, const char *time,
                       const char *vectors)
{
    k->owners_n = ranker_world_get(w, "world.", begin)->n - 1;
    k->n = ranker_world_get(w, "world.", time)->n;
    k->begin = (const uint64_t *)i64_of(w, begin);
    k->time = i64_of(w, time);
    k->vectors = values_of(w, vectors);
}

static void make_knowledge(ranker_world *w)
{
    if (!values_of(w, "known_user_vectors"))
        return;
    w->knowledge.dim = w->item_vectors.dim;
    make_known(&w->knowledge.users, w, "known_user_begin", "known_user_time", "known_user_vectors");
    make_known(&w->knowledge.items, w, "known_item_begin", "known_item_time", "known_item_vectors");
    w->source.knowledge = &w->knowledge;
}

static void make_catalogue(ranker_world *w)
{
    const golden_tensor *vectors = ranker_world_get(w, "world.", "item_vectors");
    const uint32_t *offsets = u32_of(w, "category_offsets");
    const size_t items_n = vectors->dims[0];
    uint64_t *wide = own(w, items_n + 1, sizeof(uint64_t));

    for (size_t i = 0; i <= items_n; i++)
        wide[i] = offsets[i];
    w->catalogue.items_n = (uint32_t)items_n;
    w->catalogue.item_brand = u32_of(w, "item_brand");
    w->catalogue.category_offsets = wide;
    w->catalogue.item_categories = u32_of(w, "item_categories");
    w->item_vectors.n = items_n;
    w->item_vectors.dim = vectors->dims[1];
    w->item_vectors.vectors = vectors->data;
}

static void make_examples(ranker_world *w)
{
    const golden_tensor *cot = ranker_world_get(w, "world.", "cot_vectors");
    const uint32_t *key = u32_of(w, "example_key"), *label = u32_of(w, "example_label");
    lcf_examples *e = &w->examples;
    const size_t n = e->n = cot->dims[0], dim = w->item_vectors.dim;
    lcf_hash128 *keys = own(w, n, sizeof(*keys));
    uint8_t *labels = own(w, n, 1);
    float *history_vec = own(w, n * dim, sizeof(float)), *target_vec = own(w, n * dim, 4);

    e->text_dim = dim;
    e->cot_dim = cot->dims[1];
    e->user = u32_of(w, "example_user");
    e->item = u32_of(w, "example_item");
    e->history = u32_of(w, "example_history");
    e->history_n = u32_of(w, "example_history_n");
    for (size_t i = 0; i < n; i++) {
        keys[i].bytes[0] = (uint8_t)key[i];
        labels[i] = (uint8_t)label[i];
        lcf_embeddings_mean(history_vec + i * dim, &w->item_vectors,
                            e->history + i * LCF_HISTORY_MAX, e->history_n[i]);
        memcpy(target_vec + i * dim, w->item_vectors.vectors + e->item[i] * dim, dim * 4);
    }
    e->key = keys;
    e->time = values_of(w, "example_time") ? i64_of(w, "example_time") : NULL;
    e->label = labels;
    e->history_vec = history_vec;
    e->target_vec = target_vec;
    e->cot_vec = cot->data;
}

static void make_rows(ranker_world *w)
{
    const uint32_t *user = u32_of(w, "row_user"), *item = u32_of(w, "row_item");
    const uint32_t *history = u32_of(w, "row_history"), *history_n = u32_of(w, "row_history_n");
    const uint32_t *examples = u32_of(w, "row_examples");
    const float *similarities = values_of(w, "row_similarities"), *time = values_of(w, "row_time");
    const float *history_labels = values_of(w, "row_history_labels");
    const golden_tensor *label = ranker_world_get(w, "world.", "row_label");
    const size_t k = ranker_world_get(w, "world.", "row_examples")->dims[1];

    uint8_t *u8 = own(w, label->n * LCF_HISTORY_MAX, 1);

    for (size_t i = 0; history_labels && i < label->n * LCF_HISTORY_MAX; i++)
        u8[i] = (uint8_t)history_labels[i];
    w->rows_n = label->n;
    w->rows = own(w, w->rows_n, sizeof(*w->rows));
    w->labels = own(w, w->rows_n, sizeof(float));
    for (size_t i = 0; i < w->rows_n; i++) {
        w->rows[i] = (lcf_ranker_row){.user = user[i],
                                      .item = item[i],
                                      .history = history + i * LCF_HISTORY_MAX,
                                      .history_n = history_n[i],
                                      .examples = examples + i * k,
                                      .similarities = similarities ? similarities + i * k : NULL,
                                      .time = time ? (int64_t)time[i] : 0};
        w->labels[i] = label->data[i];
        if (history_labels)
            w->rows[i].history_labels = u8 + i * LCF_HISTORY_MAX;
    }
}

const char *ranker_world_side_arm(size_t i)
{
    static const char *const arms[] = {"din_ict-nocot", "din_ict-mean", "din_ict-similarity",
                                       "din_ict-time",  "din_text",     "din_knn",
                                       "din_kar",       "din_labels",   "din_norm",
                                       "din_knrm",      "din_ict-knrm"};

    return i < sizeof(arms) / sizeof(arms[0]) ? arms[i] : NULL;
}

const char *ranker_world_arm(size_t i)
{
    static const char *const arms[] = {
        "din",      "ict",          "lr",          "lr_ict",         "fm",      "fm_ict",
        "mf",       "mf_ict",       "deepfm",      "deepfm_ict",     "xdeepfm", "xdeepfm_ict",
        "autoint",  "autoint_ict",  "dcn",         "dcn_ict",        "dcnv2",   "dcnv2_ict",
        "bst",      "bst_ict",      "binmf",       "binmf_ict",      "sasrec",  "sasrec_ict",
        "lightgcn", "lightgcn_ict", "binlightgcn", "binlightgcn_ict"};

    return i < sizeof(arms) / sizeof(arms[0]) ? arms[i] : NULL;
}

static void take_parts(ranker_world *w, const char *arm)
{
    const char *side = strchr(arm, '_');

    snprintf(w->backbone, sizeof(w->backbone), "%s", strcmp(arm, "ict") ? arm : "din");
    w->backbone[strcspn(w->backbone, "_")] = '\0';
    snprintf(w->side, sizeof(w->side), "%s", side ? side + 1 : strcmp(arm, "ict") ? "none" : "ict");
    w->history_labels = !strcmp(w->side, "labels");
    w->head_norm = !strcmp(w->side, "norm");
    if (w->history_labels || w->head_norm) {
        snprintf(w->side, sizeof(w->side), "none");
    } else if (!lcf_ranker_has_side(w->side)) { /* "ict-<order>" */
        assert_int_equal(lcf_example_order_parse(&w->order, w->side + 4, NULL), LCF_OK);
        w->side[3] = '\0';
    }
}

void ranker_world_open(ranker_world *w, const char *arm)
{
    char name[64];

    memset(w, 0, sizeof(*w));
    snprintf(name, sizeof(name), "ranker_%s", arm);
    golden_open(&w->golden, name);
    make_catalogue(w);
    make_examples(w);
    make_rows(w);
    w->source.catalogue = &w->catalogue;
    w->source.item_vectors = &w->item_vectors;
    make_knowledge(w);
    take_parts(w, arm);
    if (lcf_ranker_side_needs(w->side) & LCF_RANKER_EXAMPLES)
        w->source.examples = &w->examples;
}

void ranker_world_close(ranker_world *w)
{
    for (size_t i = 0; i < w->owned_n; i++)
        free(w->owned[i]);
    golden_close(&w->golden);
}

/* A dim of a parameter, where the model has that one. */
static void take_dim(uint32_t *out, const ranker_world *w, const char *param, size_t dim)
{
    char name[128];

    snprintf(name, sizeof(name), "param.%s", param);
    for (size_t i = 0; i < w->golden.list_n; i++)
        if (!strcmp(w->golden.list[i].name, name))
            *out = (uint32_t)w->golden.list[i].dims[dim];
}

/* How many parameters there are of "<before><number><after>". */
static void take_count(uint32_t *out, const ranker_world *w, const char *before, const char *after)
{
    uint32_t found = 0, rows;

    for (uint32_t i = 0; i == found; i++) {
        char name[96];

        snprintf(name, sizeof(name), "%s%u%s", before, i, after);
        rows = 0;
        take_dim(&rows, w, name, 0);
        found += rows != 0;
    }
    if (found)
        *out = found;
}

static void take_backbone_sizes(lcf_ranker_config *c, const ranker_world *w)
{
    take_dim(&c->att_hidden[0], w, "att.q.w", 0);
    take_dim(&c->att_hidden[1], w, "att.1.w", 0);
    take_dim(&c->head_hidden[0], w, "head.0.w", 0);
    take_dim(&c->head_hidden[1], w, "head.1.w", 0);
    take_dim(&c->cin_hidden[0], w, "cin.0.w", 0);
    take_dim(&c->cin_hidden[1], w, "cin.1.w", 0);
    take_dim(&c->cin_hidden[2], w, "cin.2.w", 0);
    take_count(&c->cross_layers_n, w, "cross.", ".w");
    take_count(&c->mix_layers_n, w, "mix.", ".b");
    take_dim(&c->experts_n, w, "mix.gate.w", 0);
    take_dim(&c->rank, w, "mix.0.c.w", 1);
    take_dim(&c->inter_dim, w, "inter.in.w", 0);
    take_dim(&c->bst_hidden, w, "block.up.w", 0);
    c->graph_layers_n = 3;
}

lcf_ranker_config ranker_world_config(const ranker_world *w)
{
    const char *const tables[][2] = {{"user.table", "linear.user.table"},
                                     {"item.table", "linear.item.table"},
                                     {"brand.table", "linear.brand.table"},
                                     {"category.table", "linear.category.table"}};
    lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;
    uint32_t *const rows[] = {&c.users_n, &c.items_n, &c.brands_n, &c.categories_n};

    c.backbone = w->backbone;
    c.side = w->side;
    c.order = w->order;
    c.history_labels = w->history_labels;
    c.head_norm = w->head_norm;
    for (size_t i = 0; i < 4; i++) {
        *rows[i] = 1; /* some backbones take not all of them */
        take_dim(rows[i], w, tables[i][0], 0);
        take_dim(rows[i], w, tables[i][1], 0);
    }
    c.text_dim = c.cot_dim = (uint32_t)w->item_vectors.dim;
    take_dim(&c.dim, w, "item.table", 1);
    c.dropout = 0.0f;
    take_backbone_sizes(&c, w);
    take_dim(&c.text_hidden, w, "text.0.w", 0);
    take_dim(&c.x_hidden, w, "x.0.w", 0);
    take_dim(&c.x_hidden, w, "kar.shared.0.0.w", 0);
    take_dim(&c.ffn_hidden, w, "layer.0.gate.w", 0);
    take_count(&c.layers_n, w, "layer.", ".q.w");
    return c;
}

lcf_ranker *ranker_world_ranker(ranker_world *w)
{
    const lcf_ranker_config config = ranker_world_config(w);
    lcf_err err = LCF_ERR_INIT;
    lcf_ranker *r;

    if (lcf_ranker_create(&r, &config, 1, &err))
        fail_msg("%s", err.text);
    golden_fill_params(lcf_ranker_params(r), &w->golden);
    if (values_of(w, "graph_user")) {
        const size_t n = ranker_world_get(w, "world.", "graph_user")->n;
        uint32_t *users = u32_of(w, "graph_user"), *items = u32_of(w, "graph_item");

        if (lcf_ranker_set_graph(r, users, items, n, &err))
            fail_msg("%s", err.text);
    }
    return r;
}
