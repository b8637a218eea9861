/*
 * The Q-Former: configuration, parameters, weights files.
 *
 * Invariant: parameters are declared in one order, which the configuration alone decides, so that
 * the same seed gives the same weights.
 */
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/nn/optim.h"
#include "offline/ilm/qformer_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE_KIND "qformer"
#define CONFIG_NAME "qformer.config"
/* Standard deviations of the start: BERT's 0.02, at its width 768, and for maps at other widths
 * what gives outputs of the same size. With 0.02 at a width of 128 an item is a hundredth of what a
 * query is, all features are alike, and a contrast has no gradient to begin with. */
#define TABLE_SCALE 0.02f
#define MAP_SCALE(in) (0.5543f / sqrtf((float)(in)))
#define TEMPERATURE 0.07f /* of the first step */
#define TEMPERATURE_MIN 0.001f
#define TEMPERATURE_MAX 0.5f

/* ---- configuration ---- */

/* The one list of its whole numbers: field and range. */
#define CONFIG_U32(X)                    \
    X(layers, 1, LCF_QFORMER_LAYERS_MAX) \
    X(hidden, 1, 8192)                   \
    X(heads, 1, 256)                     \
    X(ffn, 1, 65536)                     \
    X(queries, 1, 1024)                  \
    X(item_dim, 1, 65536)                \
    X(feature_dim, 1, 8192)              \
    X(vocab, 1, 4000000)                 \
    X(text_max, 3, 4096)                 \
    X(cross_every, 1, LCF_QFORMER_LAYERS_MAX)

static lcf_status check_config(const lcf_qformer_config *c, lcf_err *err)
{
#define CHECK(field, min, max)                                                                 \
    if (c->field < (min) || c->field > (max))                                                  \
        return LCF_FAIL(err, LCF_EINVAL, "Q-Former: " #field " is %u, not %u to %u", c->field, \
                        (unsigned)(min), (unsigned)(max));
    CONFIG_U32(CHECK)
#undef CHECK
    if (c->hidden % c->heads)
        return LCF_FAIL(err, LCF_EINVAL, "Q-Former: hidden %u is no multiple of heads %u",
                        c->hidden, c->heads);
    if (!(c->dropout >= 0.0f && c->dropout < 1.0f))
        return LCF_FAIL(err, LCF_EINVAL, "Q-Former: dropout %g is not in [0, 1)",
                        (double)c->dropout);
    if (!isfinite(c->item_scale) || c->item_scale <= 0.0f)
        return LCF_FAIL(err, LCF_EINVAL, "Q-Former: item_scale %g is not above 0",
                        (double)c->item_scale);
    return LCF_OK;
}

static lcf_status config_to_text(char **out, const lcf_qformer_config *c, lcf_err *err)
{
    json_t *json = json_object();
    int failed = !json;

    *out = NULL;
#define PUT(field, min, max) failed |= json_object_set_new(json, #field, json_integer(c->field));
    CONFIG_U32(PUT)
#undef PUT
    failed |= json_object_set_new(json, "dropout", json_real((double)c->dropout));
    failed |= json_object_set_new(json, "item_scale", json_real((double)c->item_scale));
    if (!failed)
        *out = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(json);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "configuration of a Q-Former as text");
}

static lcf_status config_of_json(lcf_qformer_config *c, const json_t *json, lcf_err *err)
{
    lcf_status status = LCF_OK;
    uint64_t value = 0;
    double dropout = 0, item_scale = 0;

#define GET(field, min, max)                                                         \
    if (!status)                                                                     \
        status = lcf_json_u64(&value, json, #field, err);                            \
    if (!status && value > UINT32_MAX)                                               \
        status = LCF_FAIL(err, LCF_EFORMAT, "Q-Former: " #field " is out of range"); \
    c->field = (uint32_t)value;
    CONFIG_U32(GET)
#undef GET
    if (!status)
        status = lcf_json_f64(&dropout, json, "dropout", err);
    if (!status)
        status = lcf_json_f64(&item_scale, json, "item_scale", err);
    c->dropout = (float)dropout;
    c->item_scale = (float)item_scale;
    if (!status && check_config(c, err)) {
        status = LCF_EFORMAT; /* the file says so, not the caller */
        if (err)
            err->status = status;
    }
    return status;
}

/* ---- parameters ---- */

/* Declarations stop at the first failure, which stays in `status`. */
typedef struct declaring {
    lcf_params *params;
    lcf_status status;
    lcf_err *err;
} declaring;

static void join(char out[LCF_PARAM_NAME_MAX], const char *prefix, const char *name)
{
    const int n = snprintf(out, LCF_PARAM_NAME_MAX, "%s%s", prefix, name);

    LCF_ASSERT(n > 0 && n < LCF_PARAM_NAME_MAX);
}

/* [rows, cols], or [rows] when cols is 0. Weight decay applies to matrices alone. */
static size_t declare_one(declaring *d, const char *prefix, const char *name, size_t rows,
                          size_t cols)
{
    const size_t dims[2] = {rows, cols};
    char full[LCF_PARAM_NAME_MAX];
    size_t idx = 0;

    join(full, prefix, name);
    if (!d->status)
        d->status = lcf_params_add(&idx, d->params, full, dims, cols ? 2 : 1, cols != 0, d->err);
    return idx;
}

static qformer_pair declare_linear(declaring *d, const char *prefix, const char *name, size_t out,
                                   size_t in)
{
    char full[LCF_PARAM_NAME_MAX];
    qformer_pair pair;

    join(full, prefix, name);
    pair.w = declare_one(d, full, ".w", out, in);
    pair.b = declare_one(d, full, ".b", out, 0);
    return pair;
}

static qformer_pair declare_norm(declaring *d, const char *prefix, const char *name, size_t n)
{
    char full[LCF_PARAM_NAME_MAX];
    qformer_pair pair;

    join(full, prefix, name);
    pair.w = declare_one(d, full, ".norm.w", n, 0);
    pair.b = declare_one(d, full, ".norm.b", n, 0);
    return pair;
}

static qformer_feed_forward declare_feed_forward(declaring *d, const char *prefix, size_t hidden,
                                                 size_t ffn)
{
    qformer_feed_forward f;

    f.up = declare_linear(d, prefix, ".up", ffn, hidden);
    f.down = declare_linear(d, prefix, ".down", hidden, ffn);
    f.norm = declare_norm(d, prefix, "", hidden);
    return f;
}

static void declare_layer(declaring *d, qformer_layer *l, const lcf_qformer_config *c, uint32_t i)
{
    const size_t n = c->hidden;
    char self[32], cross[32], query[32], text[32];

    snprintf(self, sizeof(self), "layer.%u.self", i);
    snprintf(cross, sizeof(cross), "layer.%u.cross", i);
    snprintf(query, sizeof(query), "layer.%u.query", i);
    snprintf(text, sizeof(text), "layer.%u.text", i);
    l->self_qkv = declare_linear(d, self, ".qkv", 3 * n, n);
    l->self_out = declare_linear(d, self, ".out", n, n);
    l->self_norm = declare_norm(d, self, "", n);
    l->cross = i % c->cross_every == 0;
    if (l->cross) {
        l->cross_query = declare_linear(d, cross, ".query", n, n);
        l->cross_kv = declare_linear(d, cross, ".kv", 2 * n, c->item_dim);
        l->cross_out = declare_linear(d, cross, ".out", n, n);
        l->cross_norm = declare_norm(d, cross, "", n);
    }
    l->query = declare_feed_forward(d, query, n, c->ffn);
    l->text = declare_feed_forward(d, text, n, c->ffn);
}

static lcf_status declare_all(lcf_qformer *m, lcf_err *err)
{
    const lcf_qformer_config *c = &m->config;
    const size_t n = c->hidden, vocab = (size_t)c->vocab + LCF_QFORMER_MARKS_N;
    declaring d = {&m->params, LCF_OK, err};

    m->query = declare_one(&d, "", "query", c->queries, n);
    m->word = declare_one(&d, "", "embed.word", vocab, n);
    m->position = declare_one(&d, "", "embed.position", c->text_max, n);
    m->embed_norm = declare_norm(&d, "", "embed", n);
    for (uint32_t i = 0; i < c->layers; i++)
        declare_layer(&d, &m->layers[i], c, i);
    m->query_feature = declare_linear(&d, "head.", "query", c->feature_dim, n);
    m->text_feature = declare_linear(&d, "head.", "text", c->feature_dim, n);
    m->temperature[LCF_QFORMER_TEXTS] = declare_one(&d, "head.", "temperature", 1, 0);
    m->temperature[LCF_QFORMER_VECTORS] = declare_one(&d, "head.", "pair.temperature", 1, 0);
    m->match = declare_linear(&d, "head.", "match", 2, n);
    m->token = declare_linear(&d, "head.", "token", n, n);
    m->token_norm = declare_norm(&d, "head.", "token", n);
    m->word_bias = declare_one(&d, "head.", "word.b", vocab, 0);
    return d.status;
}

/* Matrices normal, scales of norms one, biases zero. */
static void fill(lcf_qformer *m, uint64_t seed)
{
    for (size_t i = 0; i < m->params.list_n; i++) {
        const char *name = m->params.list[i].name, *end = strrchr(name, '.');
        const bool table = i == m->query || i == m->word || i == m->position;

        if (m->params.list[i].dims_n == 2)
            lcf_params_fill(&m->params, i, LCF_INIT_NORMAL,
                            table ? TABLE_SCALE : MAP_SCALE(m->params.list[i].dims[1]), seed);
        else if (end && !strcmp(end, ".w"))
            lcf_params_fill(&m->params, i, LCF_INIT_ONE, 1.0f, seed);
    }
    for (size_t i = 0; i < LCF_QFORMER_SPACES_N; i++)
        *lcf_params_value(&m->params, m->temperature[i]) = TEMPERATURE;
}

void lcf_qformer_clamp_temperatures(lcf_qformer *m)
{
    for (size_t i = 0; i < LCF_QFORMER_SPACES_N; i++) {
        float *t = lcf_params_value(&m->params, m->temperature[i]);

        *t = fminf(fmaxf(*t, TEMPERATURE_MIN), TEMPERATURE_MAX);
    }
}

/* ---- life cycle ---- */

/* A model whose parameters are declared but have no values yet. */
static lcf_status declare(lcf_qformer **out, const lcf_qformer_config *config, lcf_err *err)
{
    lcf_status status = check_config(config, err);
    lcf_qformer *m;

    *out = NULL;
    if (status)
        return status;
    m = lcf_alloc_zero(1, sizeof(*m));
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "Q-Former handle, %zu bytes", sizeof(*m));
    m->config = *config;
    lcf_params_init(&m->params);
    status = declare_all(m, err);
    if (status) {
        lcf_qformer_free(m);
        return status;
    }
    *out = m;
    return LCF_OK;
}

lcf_status lcf_qformer_create(lcf_qformer **out, const lcf_qformer_config *config, uint64_t seed,
                              lcf_err *err)
{
    lcf_status status = declare(out, config, err);

    if (!status)
        status = lcf_params_seal(&(*out)->params, err);
    if (status) {
        lcf_qformer_free(*out);
        *out = NULL;
        return status;
    }
    fill(*out, seed);
    return LCF_OK;
}

void lcf_qformer_free(lcf_qformer *m)
{
    if (!m)
        return;
    lcf_params_dispose(&m->params);
    free(m);
}

const lcf_qformer_config *lcf_qformer_config_of(const lcf_qformer *m)
{
    return &m->config;
}

lcf_params *lcf_qformer_params(lcf_qformer *m)
{
    return &m->params;
}

/* ---- weights files ---- */

lcf_status lcf_qformer_add_to(lcf_bundle_writer *w, const lcf_qformer *m, lcf_err *err)
{
    char *text = NULL;
    lcf_status status = config_to_text(&text, &m->config, err);

    if (!status)
        status = lcf_bundle_add_text(w, CONFIG_NAME, text, err);
    if (!status)
        status = lcf_checkpoint_add(w, &m->params, NULL, err);
    free(text);
    return status;
}

lcf_status lcf_qformer_save(const lcf_qformer *m, const char *path, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, BUNDLE_KIND, LCF_QFORMER_VERSION, err);

    if (status)
        return status;
    status = lcf_qformer_add_to(w, m, err);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status config_of_bundle(lcf_qformer_config *c, const lcf_bundle *bundle, lcf_err *err)
{
    json_t *json;
    lcf_status status = lcf_bundle_get_json(&json, bundle, CONFIG_NAME, err);

    if (!status)
        status = config_of_json(c, json, err);
    json_decref(json);
    return status;
}

lcf_status lcf_qformer_get_from(lcf_qformer **out, const lcf_bundle *bundle, lcf_err *err)
{
    lcf_qformer_config config = LCF_QFORMER_CONFIG_INIT;
    lcf_qformer *m = NULL;
    lcf_status status = config_of_bundle(&config, bundle, err);

    *out = NULL;
    if (!status)
        status = declare(&m, &config, err);
    if (!status)
        status = lcf_checkpoint_fits(&m->params, bundle, err);
    if (!status)
        status = lcf_params_seal(&m->params, err);
    if (!status)
        status = lcf_checkpoint_get(&m->params, NULL, bundle, err);
    if (!status)
        status = lcf_params_check_finite(&m->params, err);
    if (status) {
        lcf_qformer_free(m);
        return status;
    }
    *out = m;
    return LCF_OK;
}

lcf_status lcf_qformer_open(lcf_qformer **out, const char *path, lcf_err *err)
{
    lcf_bundle *bundle = NULL;
    lcf_status status = lcf_bundle_open(&bundle, path, BUNDLE_KIND, LCF_QFORMER_VERSION, err);

    *out = NULL;
    if (!status) {
        status = lcf_qformer_get_from(out, bundle, err);
        if (status)
            lcf_err_prefix(err, "%s", path);
    }
    lcf_bundle_close(bundle);
    return status;
}
