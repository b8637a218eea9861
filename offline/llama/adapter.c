/* LoRA adapters in GGUF; see adapter.h. */
#include "offline/llama/adapter.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/train_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE_KEY "llmcf.adapter.base"
#define TARGETS_BYTES 128

struct lcf_adapter {
    lcf_gguf *gguf;
    char *path;
    lcf_lora_options options;
    char targets[TARGETS_BYTES];
};

/* ---- writing ---- */

static lcf_status add_keys(lcf_gguf_writer *w, const lcf_llama_trainer *t, const char *name,
                           lcf_err *err)
{
    lcf_status status = lcf_gguf_add_string(w, "general.architecture", "llama", err);

    if (!status)
        status = lcf_gguf_add_string(w, "general.type", "adapter", err);
    if (!status)
        status = lcf_gguf_add_string(w, "general.name", name, err);
    if (!status)
        status = lcf_gguf_add_string(w, "adapter.type", "lora", err);
    if (!status)
        status = lcf_gguf_add_f32(w, "adapter.lora.alpha", t->options.lora.alpha, err);
    if (!status && t->base_id[0])
        status = lcf_gguf_add_string(w, BASE_KEY, t->base_id, err);
    return status;
}

lcf_status lcf_adapter_save(const char *path, const lcf_llama_trainer *t, const char *name,
                            lcf_err *err)
{
    lcf_gguf_writer *w;
    lcf_status status;

    if (!t->options.lora.rank)
        return LCF_FAIL(err, LCF_EINVAL, "a whole model was trained: there is no adapter to save");
    status = lcf_gguf_create(&w, path, err);
    if (status)
        return status;
    status = add_keys(w, t, name, err);
    for (size_t i = 0; i < t->params.list_n && !status; i++) {
        const lcf_param *p = &t->params.list[i];
        const uint64_t dims[2] = {p->dims[1], p->dims[0]};

        status = lcf_gguf_add_tensor(w, p->name, LCF_GGUF_F32, dims, 2,
                                     lcf_params_value(&t->params, i), err);
    }
    if (!status)
        return lcf_gguf_commit(w, err);
    lcf_gguf_abandon(w);
    return status;
}

/* ---- reading ---- */

/* blk.N.NAME.weight.lora_a: its layer, matrix and half ('a' or 'b'); false when it is no such name.
 */
static bool parse_name(size_t *layer, size_t *which, char *half, const char *text)
{
    char name[LCF_GGUF_NAME_BYTES];
    int end = 0;

    if (sscanf(text, "blk.%zu.%63[a-z_].weight.lora_%c%n", layer, name, half, &end) != 3 ||
        text[end] || (*half != 'a' && *half != 'b') || *layer > 99999)
        return false;
    for (*which = 0; *which < NET_PARAMS_N; (*which)++)
        if (strcmp(train_matrix_name(*which), name) == 0)
            return *which != NET_ATTN_NORM && *which != NET_FFN_NORM;
    return false;
}

static const lcf_gguf_tensor *find(const lcf_adapter *a, size_t layer, size_t which, char half)
{
    char name[LCF_GGUF_NAME_BYTES];

    snprintf(name, sizeof(name), "blk.%zu.%s.weight.lora_%c", layer, train_matrix_name(which),
             half);
    return lcf_gguf_tensor_find(a->gguf, name);
}

/* Notes a tensor's rank and matrix; all tensors must agree. */
static lcf_status note_tensor(lcf_adapter *a, bool *seen, size_t *layers_n,
                              const lcf_gguf_tensor *x, lcf_err *err)
{
    size_t layer, which;
    uint64_t rank;
    char half;

    if (!parse_name(&layer, &which, &half, x->name))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "%s: tensor %s is no adapter of a LLaMA's attention or FFN matrix", a->path,
                        x->name);
    if (x->dims_n != 2 || !lcf_gguf_type_readable(x->type) ||
        !find(a, layer, which, half == 'a' ? 'b' : 'a'))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: tensor %s is no matrix, or its other half is missing", a->path,
                        x->name);
    rank = x->dims[half == 'a' ? 1 : 0];
    if (!rank || rank > 65536 || (a->options.rank && rank != a->options.rank))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "%s: tensor %s has rank %" PRIu64 ", others %zu: one rank is supported",
                        a->path, x->name, rank, a->options.rank);
    a->options.rank = (size_t)rank;
    seen[which] = true;
    *layers_n = layer + 1 > *layers_n ? layer + 1 : *layers_n;
    return LCF_OK;
}

static lcf_status read_tensors(lcf_adapter *a, lcf_err *err)
{
    bool seen[NET_PARAMS_N] = {false};
    const size_t n = lcf_gguf_tensors_n(a->gguf);
    size_t layers_n = 0, kinds = 0;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++)
        status = note_tensor(a, seen, &layers_n, lcf_gguf_tensor_at(a->gguf, i), err);
    if (status)
        return status;
    for (size_t which = 0; which < NET_PARAMS_N; which++)
        if (seen[which]) {
            const size_t at = strlen(a->targets);

            snprintf(a->targets + at, sizeof(a->targets) - at, "%s%s", kinds++ ? "," : "",
                     train_matrix_name(which));
        }
    if (!kinds || n != 2 * kinds * layers_n)
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "%s: %zu tensors over %zu layers and the matrices %s: every layer must "
                        "have them all",
                        a->path, n, layers_n, a->targets);
    return LCF_OK;
}

static bool key_is(const lcf_gguf *g, const char *key, const char *want)
{
    lcf_str text;

    return !lcf_gguf_string(&text, g, key, NULL) && text.len == strlen(want) &&
           memcmp(text.data, want, text.len) == 0;
}

static lcf_status read_adapter(lcf_adapter *a, const char *path, lcf_err *err)
{
    double alpha;
    lcf_status status = lcf_gguf_open(&a->gguf, path, err);

    if (status)
        return status;
    if (!key_is(a->gguf, "general.type", "adapter") || !key_is(a->gguf, "adapter.type", "lora"))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: no LoRA adapter (general.type, adapter.type)", path);
    if (!key_is(a->gguf, "general.architecture", "llama"))
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "%s: an adapter of another architecture than llama",
                        path);
    status = lcf_gguf_f64(&alpha, a->gguf, "adapter.lora.alpha", err);
    if (status)
        return status;
    if (!(fabs(alpha) < 1e6))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: adapter.lora.alpha is %g", path, alpha);
    a->options.alpha = (float)alpha;
    return read_tensors(a, err);
}

lcf_status lcf_adapter_open(lcf_adapter **out, const char *path, lcf_err *err)
{
    lcf_adapter *a = lcf_alloc_zero(1, sizeof(*a));
    lcf_status status;

    *out = NULL;
    if (a)
        a->path = lcf_strdup(path);
    if (!a || !a->path) {
        lcf_adapter_close(a);
        return LCF_FAIL(err, LCF_ENOMEM, "adapter");
    }
    status = read_adapter(a, path, err);
    if (status) {
        lcf_adapter_close(a);
        return status;
    }
    *out = a;
    return LCF_OK;
}

void lcf_adapter_close(lcf_adapter *a)
{
    if (!a)
        return;
    lcf_gguf_close(a->gguf);
    free(a->path);
    free(a);
}

void lcf_adapter_options(lcf_lora_options *options, const lcf_adapter *a)
{
    options->rank = a->options.rank;
    options->alpha = a->options.alpha;
    options->targets = a->targets;
}

/* Is it for the trainer's base, and of its shapes? */
static lcf_status check_fits(const lcf_llama_trainer *t, const lcf_adapter *a, lcf_err *err)
{
    lcf_str base;

    if (t->base_id[0] && !lcf_gguf_string(&base, a->gguf, BASE_KEY, NULL) &&
        (base.len != strlen(t->base_id) || memcmp(base.data, t->base_id, base.len) != 0))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: an adapter for the model %.*s, not for %s", a->path,
                        (int)base.len, base.data, t->base_id);
    if (lcf_gguf_tensors_n(a->gguf) != t->params.list_n)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s: an adapter of %zu tensors for a model that takes %zu: another number "
                        "of layers",
                        a->path, lcf_gguf_tensors_n(a->gguf), t->params.list_n);
    for (size_t i = 0; i < t->params.list_n; i++) {
        const lcf_param *p = &t->params.list[i];
        const lcf_gguf_tensor *x = lcf_gguf_tensor_find(a->gguf, p->name);

        if (!x || x->dims[1] != p->dims[0] || x->dims[0] != p->dims[1])
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s: %s is %s[%" PRIu64 ", %" PRIu64 "], this model takes [%zu, %zu]",
                            a->path, p->name, x ? "" : "missing ", x ? x->dims[1] : 0,
                            x ? x->dims[0] : 0, p->dims[0], p->dims[1]);
    }
    return LCF_OK;
}

lcf_status lcf_adapter_put(lcf_llama_trainer *t, const lcf_adapter *a, lcf_err *err)
{
    lcf_status status = check_fits(t, a, err);

    if (status)
        return status;
    for (size_t i = 0; i < t->params.list_n; i++) {
        const lcf_gguf_tensor *x = lcf_gguf_tensor_find(a->gguf, t->params.list[i].name);

        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "%s: stopped; nothing was changed", a->path);
        lcf_gguf_dequantize(lcf_params_value(&t->params, i), x, 0, x->n);
    }
    return LCF_OK;
}
