/*
 * What a GGUF file holds. Whatever can be read is told: a file with an architecture, a tensor type
 * or a tokenizer that the engine does not know is described all the same.
 */
#include "offline/cmd/inspect_model.h"

#include "offline/llama/chat.h"

#include <stdio.h>
#include <string.h>

static void set_n(json_t *out, const char *key, uint64_t n)
{
    json_object_set_new(out, key, json_integer((json_int_t)n));
}

/* Text of a file that may be no UTF-8. */
static json_t *text_json(lcf_str text)
{
    json_t *json = json_stringn(text.data, text.len);

    return json ? json : json_string("(not UTF-8)");
}

static void set_key(json_t *out, const char *name, const lcf_gguf *g, const char *key)
{
    lcf_str text;
    uint64_t n;
    double f;

    if (!lcf_gguf_string(&text, g, key, NULL))
        json_object_set_new(out, name, text_json(text));
    else if (!lcf_gguf_u64(&n, g, key, NULL))
        set_n(out, name, n);
    else if (!lcf_gguf_f64(&f, g, key, NULL))
        json_object_set_new(out, name, json_real(f));
}

/* Keys that begin with the name of the architecture. */
static void add_sizes(json_t *out, const lcf_gguf *g)
{
    static const char *const KEYS[][2] = {
        {"context_length", "context_length"},
        {"embedding_length", "embedding_length"},
        {"layers", "block_count"},
        {"feed_forward_length", "feed_forward_length"},
        {"heads", "attention.head_count"},
        {"kv_heads", "attention.head_count_kv"},
        {"head_length", "rope.dimension_count"},
        {"key_length", "attention.key_length"},
        {"norm_eps", "attention.layer_norm_rms_epsilon"},
        {"norm_eps", "attention.layer_norm_epsilon"},
        {"rope_theta", "rope.freq_base"},
        {"rope_scaling", "rope.scaling.type"},
        {"rope_scaling_factor", "rope.scaling.factor"},
        {"pooling", "pooling_type"},
    };
    lcf_str architecture;
    char key[160];

    if (lcf_gguf_string(&architecture, g, "general.architecture", NULL) || architecture.len > 64)
        return;
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(*KEYS); i++) {
        snprintf(key, sizeof(key), "%.*s.%s", (int)architecture.len, architecture.data, KEYS[i][1]);
        set_key(out, KEYS[i][0], g, key);
    }
}

/* ---- tensors ------------------------------------------------------------------------------ */

/* By type: how many tensors, weights and bytes. */
static json_t *types_json(const lcf_gguf *g)
{
    json_t *types = json_object();

    for (size_t i = 0; i < lcf_gguf_tensors_n(g); i++) {
        const lcf_gguf_tensor *t = lcf_gguf_tensor_at(g, i);
        const char *name = lcf_gguf_type_name(t->type);
        json_t *row = json_object_get(types, name);
        uint64_t tensors_n = 1, weights_n = t->n, bytes_n = t->bytes_n;
        if (row) {
            tensors_n += (uint64_t)json_integer_value(json_object_get(row, "tensors"));
            weights_n += (uint64_t)json_integer_value(json_object_get(row, "weights"));
            bytes_n += (uint64_t)json_integer_value(json_object_get(row, "bytes"));
        }
        row = json_object();
        set_n(row, "tensors", tensors_n);
        set_n(row, "weights", weights_n);
        set_n(row, "bytes", bytes_n);
        json_object_set_new(types, name, row);
    }
    return types;
}

static void add_tensors(json_t *out, const lcf_gguf *g, bool list)
{
    uint64_t weights_n = 0, bytes_n = 0;
    json_t *rows = list ? json_object() : NULL;

    for (size_t i = 0; i < lcf_gguf_tensors_n(g); i++) {
        const lcf_gguf_tensor *t = lcf_gguf_tensor_at(g, i);
        json_t *row, *dims;
        weights_n += t->n;
        bytes_n += t->bytes_n;
        if (!list)
            continue;
        row = json_object();
        dims = json_array();
        for (uint32_t d = 0; d < t->dims_n; d++)
            json_array_append_new(dims, json_integer((json_int_t)t->dims[d]));
        json_object_set_new(row, "type", json_string(lcf_gguf_type_name(t->type)));
        json_object_set_new(row, "dims", dims);
        set_n(row, "bytes", t->bytes_n);
        json_object_set_new(rows, t->name, row);
    }
    set_n(out, "tensors", lcf_gguf_tensors_n(g));
    set_n(out, "weights", weights_n);
    if (weights_n)
        json_object_set_new(out, "bits_per_weight",
                            json_real(8 * (double)bytes_n / (double)weights_n));
    json_object_set_new(out, "types", types_json(g));
    if (list)
        json_object_set_new(out, "tensor_list", rows);
}

/* ---- vocabulary --------------------------------------------------------------------------- */

static json_t *specials_json(const lcf_gguf *g, const lcf_str *pieces, size_t pieces_n)
{
    static const char *const NAMES[] = {"bos", "eos",     "eot",       "unknown",
                                        "cls", "padding", "seperator", "mask"};
    json_t *out = json_object();

    for (size_t i = 0; i < sizeof(NAMES) / sizeof(*NAMES); i++) {
        char key[64];
        uint64_t id;
        json_t *row;
        snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", NAMES[i]);
        if (lcf_gguf_u64(&id, g, key, NULL) || id >= pieces_n)
            continue;
        row = json_object();
        set_n(row, "id", id);
        json_object_set_new(row, "piece", text_json(pieces[id]));
        /* the format misspells it, we need not */
        json_object_set_new(out, strcmp(NAMES[i], "seperator") ? NAMES[i] : "separator", row);
    }
    return out;
}

static void add_vocabulary(json_t *out, const lcf_gguf *g)
{
    const lcf_str *pieces = NULL, *merges;
    size_t pieces_n = 0, merges_n;

    set_key(out, "tokenizer", g, "tokenizer.ggml.model");
    set_key(out, "pre_tokenizer", g, "tokenizer.ggml.pre");
    if (!lcf_gguf_strings(&pieces, &pieces_n, g, "tokenizer.ggml.tokens", NULL))
        set_n(out, "vocabulary", pieces_n);
    if (!lcf_gguf_strings(&merges, &merges_n, g, "tokenizer.ggml.merges", NULL))
        set_n(out, "merges", merges_n);
    if (pieces_n)
        json_object_set_new(out, "special_tokens", specials_json(g, pieces, pieces_n));
}

static void add_chat(json_t *out, const lcf_gguf *g)
{
    lcf_template chat;
    bool known = lcf_template_of_gguf(&chat, g);

    json_object_set_new(out, "chat_template",
                        json_string(!known                       ? "unknown"
                                    : chat == LCF_TEMPLATE_PLAIN ? "none"
                                                                 : lcf_template_name(chat)));
}

lcf_status lcf_inspect_model(json_t *out, const char *path, bool tensors, lcf_err *err)
{
    lcf_gguf *g;
    lcf_status status = lcf_gguf_open(&g, path, err);

    if (status)
        return status;
    json_object_set_new(out, "kind", json_string("gguf"));
    set_n(out, "version", lcf_gguf_version(g));
    set_n(out, "bytes", lcf_gguf_bytes_n(g));
    if (lcf_gguf_shards_n(g) > 1)
        set_n(out, "files", lcf_gguf_shards_n(g));
    set_key(out, "architecture", g, "general.architecture");
    set_key(out, "name", g, "general.name");
    add_sizes(out, g);
    add_vocabulary(out, g);
    add_chat(out, g);
    add_tensors(out, g, tensors);
    lcf_gguf_close(g);
    return LCF_OK;
}
