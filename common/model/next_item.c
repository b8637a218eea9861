/*
 * The next-item model: life cycle, weights files, what all encoders share, and the side module.
 *
 * Invariant: all parameters stand in one block. Without a side module the item table is parameter
 * 0; with one the block is its ranker's, whose item table is the model's. The encoder's parameters
 * come last, in the order in which it declares them.
 */
#include "common/base/bundle.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/model/backbone.h"
#include "common/model/next_item_internal.h"
#include "common/nn/optim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE_KIND "next-item"
#define BUNDLE_VERSION 2
#define PARAMS_MAX (LCF_RANKER_PARAMS_MAX + 128)
#define TABLE_SCALE 0.02f
#define ENCODE_BLOCK 256 /* histories per pass: the working set stays in the cache */
#define LAYERS_MAX 8

static const lcf_next_encoder *const ENCODERS[] = {
    &lcf_next_youtubednn,
    &lcf_next_gru4rec,
    &lcf_next_sasrec,
    &lcf_next_srgnn,
};
#define ENCODERS_N (sizeof(ENCODERS) / sizeof(ENCODERS[0]))

struct lcf_next {
    lcf_next_config config;
    const lcf_next_encoder *encoder;
    lcf_ranker *side;   /* its tables and side module; NULL without */
    lcf_params own;     /* without a side module */
    lcf_params *params; /* own, or the side's */
    size_t item_table;
    struct {
        lcf_init kind;
        float scale;
    } fill[PARAMS_MAX];
};

const char *lcf_next_encoder_name(size_t idx)
{
    return idx < ENCODERS_N ? ENCODERS[idx]->name : NULL;
}

static const lcf_next_encoder *find_encoder(const char *name)
{
    for (size_t i = 0; i < ENCODERS_N; i++)
        if (!strcmp(ENCODERS[i]->name, name))
            return ENCODERS[i];
    return NULL;
}

/* ---- configuration ---- */

/* The one list of its whole numbers: field and range. */
#define CONFIG_U32(X)             \
    X(items_n, 2, UINT32_MAX - 1) \
    X(dim, 1, 4096)               \
    X(history_max, 1, 4096)       \
    X(hidden, 1, 65536)           \
    X(layers_n, 1, LAYERS_MAX)    \
    X(heads_n, 1, 64)

static lcf_status check_config(const lcf_next_config *c, lcf_err *err)
{
    const lcf_next_encoder *e = find_encoder(c->encoder);

    if (!e)
        return LCF_FAIL(err, LCF_EINVAL, "there is no encoder '%s'", c->encoder);
#define CHECK(field, min, max)                                                               \
    if (c->field < (min) || c->field > (max))                                                \
        return LCF_FAIL(err, LCF_EINVAL,                                                     \
                        "next-item configuration: " #field " is %u, not %u to %u", c->field, \
                        (unsigned)(min), (unsigned)(max));
    CONFIG_U32(CHECK)
#undef CHECK
    if (!(c->dropout >= 0.0f && c->dropout < 1.0f))
        return LCF_FAIL(err, LCF_EINVAL, "next-item configuration: dropout %g is not in [0, 1)",
                        (double)c->dropout);
    if (!isfinite(c->side_scale))
        return LCF_FAIL(err, LCF_EINVAL, "next-item configuration: side_scale is not finite");
    return e->check ? e->check(c, err) : LCF_OK;
}

static bool has_side(const lcf_next_config *c)
{
    return strcmp(c->side.side, "none") != 0;
}

/* The side module's configuration as JSON; null without one. NULL when out of memory. */
static json_t *side_to_json(const lcf_next_config *c, lcf_err *err)
{
    char *text = NULL;
    json_t *json;

    if (!has_side(c))
        return json_null();
    if (lcf_ranker_config_to_text(&text, &c->side, err))
        return NULL;
    json = json_loads(text, 0, NULL);
    free(text);
    return json;
}

static lcf_status side_of_json(lcf_next_config *c, const json_t *json, lcf_err *err)
{
    char *text;
    lcf_status status;

    if (json_is_null(json))
        return LCF_OK;
    if (!json_is_object(json))
        return LCF_FAIL(err, LCF_EFORMAT, "side is missing or neither an object nor null");
    text = json_dumps(json, JSON_COMPACT);
    if (!text)
        return LCF_FAIL(err, LCF_ENOMEM, "configuration of a side module");
    status = lcf_ranker_config_of_text(&c->side, text, strlen(text), err);
    free(text);
    return status;
}

static lcf_status config_to_text(char **out, const lcf_next_config *c, lcf_err *err)
{
    json_t *json = json_object();
    int failed = !json || json_object_set_new(json, "encoder", json_string(c->encoder));

    *out = NULL;
#define PUT(field, min, max) failed |= json_object_set_new(json, #field, json_integer(c->field));
    CONFIG_U32(PUT)
#undef PUT
    failed |= json_object_set_new(json, "dropout", json_real((double)c->dropout));
    failed |= json_object_set_new(json, "side", side_to_json(c, err));
    failed |= json_object_set_new(json, "side_scale", json_real((double)c->side_scale));
    if (!failed)
        *out = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(json);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "configuration of a next-item model as text");
}

static lcf_status config_of_json(lcf_next_config *c, const json_t *json, lcf_err *err)
{
    const char *name = json_string_value(json_object_get(json, "encoder"));
    const lcf_next_encoder *e = name ? find_encoder(name) : NULL;
    lcf_status status = LCF_OK;
    uint64_t value = 0;
    double dropout = 0, side_scale = 0;

    if (!e)
        return LCF_FAIL(err, LCF_EFORMAT, "there is no encoder '%s'", name ? name : "");
    c->encoder = e->name;
#define GET(field, min, max)                                            \
    if (!status)                                                        \
        status = lcf_json_u64(&value, json, #field, err);               \
    if (!status && value > UINT32_MAX)                                  \
        status = LCF_FAIL(err, LCF_EFORMAT, #field " is out of range"); \
    c->field = (uint32_t)value;
    CONFIG_U32(GET)
#undef GET
    if (!status)
        status = lcf_json_f64(&dropout, json, "dropout", err);
    if (!status)
        status = lcf_json_f64(&side_scale, json, "side_scale", err);
    if (!status)
        status = side_of_json(c, json_object_get(json, "side"), err);
    c->dropout = (float)dropout;
    c->side_scale = (float)side_scale;
    return status;
}

/* ---- parameters ---- */

static void param_name(char *out, size_t bytes, const char *prefix, uint32_t layer,
                       const char *name)
{
    int n = layer == LCF_NEXT_ONE ? snprintf(out, bytes, "%s.%s", prefix, name)
                                  : snprintf(out, bytes, "%s.%u.%s", prefix, layer, name);

    LCF_ASSERT(n > 0 && (size_t)n < bytes);
}

lcf_status lcf_next_declare(lcf_next *m, const char *prefix, uint32_t layer,
                            const next_param *params, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++) {
        const size_t dims[2] = {params[i].rows, params[i].cols};
        char name[LCF_PARAM_NAME_MAX];
        size_t idx;

        param_name(name, sizeof(name), prefix, layer, params[i].name);
        status = lcf_params_add(&idx, m->params, name, dims, params[i].cols ? 2 : 1, true, err);
        if (status)
            break;
        LCF_ASSERT(idx < PARAMS_MAX);
        m->fill[idx].kind = params[i].kind;
        m->fill[idx].scale = params[i].scale;
    }
    return status;
}

lcf_tensor *lcf_next_param(const next_pass *p, const char *prefix, uint32_t layer, const char *name)
{
    char text[LCF_PARAM_NAME_MAX];
    size_t idx;

    param_name(text, sizeof(text), prefix, layer, name);
    idx = lcf_params_find(p->m->params, text);
    LCF_ASSERT(idx != (size_t)-1);
    return lcf_tape_param(p->tape, p->m->params, p->grads, idx);
}

/* The side module and its tables, of which the item table is the model's. */
static lcf_status declare_side(lcf_next *m, lcf_err *err)
{
    lcf_next_config *c = &m->config;
    lcf_status status;

    c->side.items_n = c->items_n;
    c->side.dim = c->dim;
    status = lcf_ranker_declare_side(&m->side, &c->side, err);
    if (status)
        return status;
    c->side = m->side->config; /* its names are static */
    if (m->side->side->vectors_n != 1)
        return LCF_FAIL(err, LCF_EINVAL,
                        "next-item configuration: the side module %s has %zu vectors, only one can "
                        "be added to a user",
                        c->side.side, m->side->side->vectors_n);
    if (m->side->side->needs_target)
        return LCF_FAIL(err, LCF_EINVAL,
                        "next-item configuration: the side module %s is about a user beside a "
                        "target, and there is none",
                        c->side.side);
    m->params = &m->side->params;
    for (size_t i = 0; i < m->params->list_n; i++) {
        m->fill[i].kind = m->side->fill[i].kind;
        m->fill[i].scale = m->side->fill[i].scale;
    }
    m->item_table = m->side->item_table;
    m->fill[m->item_table].scale = TABLE_SCALE;
    return LCF_OK;
}

static lcf_status declare_items(lcf_next *m, lcf_err *err)
{
    const lcf_next_config *c = &m->config;
    const next_param table = {"table", c->items_n, c->dim, LCF_INIT_NORMAL, TABLE_SCALE};
    lcf_status status;

    m->params = &m->own;
    m->item_table = 0;
    status = lcf_next_declare(m, "item", LCF_NEXT_ONE, &table, 1, err);
    if (!status)
        m->params->list[0].row0_zero = true;
    return status;
}

static lcf_status declare_all(lcf_next *m, lcf_err *err)
{
    lcf_status status = has_side(&m->config) ? declare_side(m, err) : declare_items(m, err);

    return status ? status : m->encoder->declare(m, &m->config, err);
}

/* ---- life cycle ---- */

/* A model whose parameters are declared but have no values yet. */
static lcf_status declare(lcf_next **out, const lcf_next_config *config, lcf_err *err)
{
    lcf_status status = check_config(config, err);
    lcf_next *m;

    *out = NULL;
    if (status)
        return status;
    m = lcf_alloc_zero(1, sizeof(*m));
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "next-item handle, %zu bytes", sizeof(*m));
    m->config = *config;
    m->encoder = find_encoder(config->encoder);
    m->config.encoder = m->encoder->name;
    lcf_params_init(&m->own);
    status = declare_all(m, err);
    if (status) {
        lcf_next_free(m);
        return status;
    }
    *out = m;
    return LCF_OK;
}

lcf_status lcf_next_create(lcf_next **out, const lcf_next_config *config, uint64_t seed,
                           lcf_err *err)
{
    lcf_next *m;
    lcf_status status = declare(&m, config, err);

    *out = NULL;
    if (status)
        return status;
    status = lcf_params_seal(m->params, err);
    if (status) {
        lcf_next_free(m);
        return status;
    }
    for (size_t i = 0; i < m->params->list_n; i++) /* row 0 of tables is zeroed with them */
        lcf_params_fill(m->params, i, m->fill[i].kind, m->fill[i].scale, seed);
    *out = m;
    return LCF_OK;
}

void lcf_next_free(lcf_next *m)
{
    if (!m)
        return;
    lcf_params_dispose(&m->own);
    lcf_ranker_free(m->side);
    free(m);
}

const lcf_next_config *lcf_next_config_of(const lcf_next *m)
{
    return &m->config;
}

lcf_params *lcf_next_params(lcf_next *m)
{
    return m->params;
}

const float *lcf_next_items(const lcf_next *m)
{
    return lcf_params_value(m->params, m->item_table);
}

/* ---- weights files ---- */

lcf_status lcf_next_save(const lcf_next *m, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    char *text = NULL;
    lcf_status status = config_to_text(&text, &m->config, err);

    if (!status)
        status = lcf_bundle_create(&w, path, BUNDLE_KIND, BUNDLE_VERSION, err);
    if (!status)
        status = lcf_bundle_add_text(w, "config", text, err);
    if (!status)
        status = lcf_checkpoint_add(w, m->params, NULL, err);
    free(text);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status config_of_bundle(lcf_next_config *c, const lcf_bundle *bundle, lcf_err *err)
{
    json_t *json;
    lcf_status status = lcf_bundle_get_json(&json, bundle, "config", err);

    if (!status)
        status = config_of_json(c, json, err);
    json_decref(json);
    return status;
}

static lcf_status read_bundle(lcf_next **out, const lcf_bundle *bundle, lcf_err *err)
{
    lcf_next_config config = LCF_NEXT_CONFIG_INIT;
    lcf_next *m = NULL;
    lcf_status status = config_of_bundle(&config, bundle, err);

    if (!status)
        status = lcf_ranker_of_file(declare(&m, &config, err), err);
    if (!status)
        status = lcf_checkpoint_open(m->params, bundle, err);
    if (status) {
        lcf_next_free(m);
        return status;
    }
    *out = m;
    return LCF_OK;
}

lcf_status lcf_next_open(lcf_next **out, const char *path, lcf_err *err)
{
    lcf_bundle *bundle;
    lcf_status status;

    *out = NULL;
    status = lcf_bundle_open(&bundle, path, BUNDLE_KIND, BUNDLE_VERSION, err);
    if (status)
        return status;
    status = read_bundle(out, bundle, err);
    if (status)
        lcf_err_prefix(err, "%s", path);
    lcf_bundle_close(bundle);
    return status;
}

/* ---- what encoders share ---- */

lcf_tensor *lcf_next_table(const next_pass *p)
{
    return lcf_tape_param(p->tape, p->m->params, p->grads, p->m->item_table);
}

lcf_tensor *lcf_next_dropout(const next_pass *p, lcf_tensor *x)
{
    return p->rng ? lcf_op_dropout(p->tape, x, p->config->dropout, p->rng) : x;
}

lcf_tensor *lcf_next_linear(const next_pass *p, const char *prefix, uint32_t layer,
                            const char *name, lcf_tensor *x)
{
    char w[16], b[16];

    snprintf(w, sizeof(w), "%s.w", name);
    snprintf(b, sizeof(b), "%s.b", name);
    return lcf_op_linear(p->tape, x, lcf_next_param(p, prefix, layer, w),
                         lcf_next_param(p, prefix, layer, b));
}

bool lcf_next_prefixes(next_prefixes *out, const next_pass *p)
{
    const lcf_next_batch *b = p->batch;
    size_t n = 0;

    for (size_t i = 0; i < b->queries_n; i++)
        n += b->query_end[i] - b->offsets[b->query_sequence[i]];
    out->offsets = lcf_tape_alloc(p->tape, b->queries_n + 1, sizeof(*out->offsets));
    out->items = lcf_tape_alloc(p->tape, n, sizeof(*out->items));
    if (!out->offsets || !out->items)
        return false;
    out->offsets[0] = 0;
    for (size_t i = 0; i < b->queries_n; i++) {
        const uint32_t begin = b->offsets[b->query_sequence[i]], length = b->query_end[i] - begin;

        memcpy(out->items + out->offsets[i], p->items + begin, length * sizeof(*out->items));
        out->offsets[i + 1] = out->offsets[i] + length;
    }
    return true;
}

lcf_tensor *lcf_next_last(const next_pass *p, lcf_tensor *tokens)
{
    const size_t n = p->batch->queries_n;
    uint32_t *last = lcf_tape_alloc(p->tape, n, sizeof(*last));

    for (size_t i = 0; last && i < n; i++)
        last[i] = p->batch->query_end[i] - 1;
    return lcf_op_gather(p->tape, tokens, last, n);
}

/* ---- forward ---- */

static void check_batch(const lcf_next_batch *b, const lcf_next_config *c)
{
    for (size_t s = 0; s < b->sequences_n; s++)
        LCF_ASSERT(b->offsets[s] < b->offsets[s + 1] &&
                   b->offsets[s + 1] - b->offsets[s] <= c->history_max);
    for (size_t i = 0; i < b->queries_n; i++)
        LCF_ASSERT(b->query_sequence[i] < b->sequences_n &&
                   b->query_end[i] > b->offsets[b->query_sequence[i]] &&
                   b->query_end[i] <= b->offsets[b->query_sequence[i] + 1]);
}

lcf_status lcf_next_check_source(const lcf_next *m, const lcf_ranker_source *source, lcf_err *err)
{
    return m->side ? lcf_ranker_check_source(m->side, source, err) : LCF_OK;
}

lcf_tensor *lcf_next_users(lcf_tensor **side_loss, lcf_tape *tape, const lcf_next *m,
                           lcf_grads *grads, const lcf_next_batch *batch, lcf_rng *rng)
{
    const size_t tokens_n = batch->offsets[batch->sequences_n];
    uint32_t *items = lcf_tape_alloc(tape, tokens_n, sizeof(*items));
    const next_pass p = {tape, m, &m->config, grads, batch, items, rng};
    lcf_tensor *users, *side;

    check_batch(batch, &m->config);
    for (size_t i = 0; items && i < tokens_n; i++)
        items[i] = batch->items[i] < m->config.items_n ? batch->items[i] : 0;
    users = m->encoder->forward(&p);
    *side_loss = NULL;
    if (!m->side)
        return users;
    side = lcf_ranker_side_vectors(side_loss, tape, m->side, grads, batch->source, batch->rows,
                                   batch->queries_n);
    return side ? lcf_op_add(tape, users, lcf_op_scale(tape, side, m->config.side_scale)) : users;
}

/* ---- inference ---- */

typedef struct blocks {
    uint32_t *items, offsets[ENCODE_BLOCK + 1], sequence[ENCODE_BLOCK];
    lcf_ranker_row rows[ENCODE_BLOCK];
} blocks;

static lcf_next_batch block_batch(blocks *w, const lcf_ranker_source *source,
                                  const lcf_next_history *histories, size_t n, uint32_t history_max)
{
    static const uint32_t unknown = 0;

    w->offsets[0] = 0;
    for (size_t i = 0; i < n; i++) {
        lcf_next_history h =
            histories[i].n ? histories[i] : (lcf_next_history){&unknown, 1, histories[i].row};
        const size_t skip = h.n > history_max ? h.n - history_max : 0;

        memcpy(w->items + w->offsets[i], h.items + skip, (h.n - skip) * sizeof(*w->items));
        w->offsets[i + 1] = (uint32_t)(w->offsets[i] + h.n - skip);
        w->sequence[i] = (uint32_t)i;
        if (h.row)
            w->rows[i] = *h.row;
    }
    return (lcf_next_batch){n,      n,      w->items, w->offsets, w->sequence, w->offsets + 1,
                            source, w->rows};
}

lcf_status lcf_next_encode(float *out, lcf_tape *tape, const lcf_next *m,
                           const lcf_ranker_source *source, const lcf_next_history *histories,
                           size_t n, lcf_err *err)
{
    const size_t dim = m->config.dim;
    lcf_status status = LCF_OK;
    blocks w;

    w.items = lcf_alloc((size_t)m->config.history_max * ENCODE_BLOCK, sizeof(*w.items));
    if (!w.items)
        return LCF_FAIL(err, LCF_ENOMEM, "histories of a block");
    for (size_t at = 0; at < n && !status; at += ENCODE_BLOCK) {
        const size_t block = n - at < ENCODE_BLOCK ? n - at : ENCODE_BLOCK;
        const lcf_next_batch b =
            block_batch(&w, source, histories + at, block, m->config.history_max);
        lcf_tensor *users, *side_loss;

        lcf_tape_reset(tape, false);
        users = lcf_next_users(&side_loss, tape, m, NULL, &b, NULL);
        status = lcf_tape_status(tape);
        if (status)
            LCF_FAIL(err, status, "no memory to encode %zu histories", block);
        else
            memcpy(out + at * dim, users->data, block * dim * sizeof(*out));
    }
    free(w.items);
    return status;
}
