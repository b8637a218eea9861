/*
 * A tiny random LLaMA for tests.
 */
#include "tests/unit/llama/fixture.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include "tests/unit/test.h"

#include <math.h>

#define TEXT(s)          \
    {                    \
        s, sizeof(s) - 1 \
    }
const lcf_str FIXTURE_TEXTS[] = {
    TEXT("The user likes quiet films and long novels; the user likes long films."),
    TEXT("The user dislikes loud films. A novel about the sea, a film about the sea."),
    TEXT("Toys, games & puzzles: 12 puzzles, 24 games, 1,000 toys (for the user)."),
    TEXT("  Two spaces first.\nA line, then\ta tab; caf\xc3\xa9, caf\xc3\xa9s, na\xc3\xafve."),
};
const size_t FIXTURE_TEXTS_N = sizeof(FIXTURE_TEXTS) / sizeof(*FIXTURE_TEXTS);

static lcf_llama_matrix random_block(float **next, size_t rows, size_t cols, lcf_rng *rng)
{
    float *block = *next;

    for (size_t i = 0; i < rows * cols; i++)
        block[i] = (float)(lcf_rng_normal(rng) / sqrt((double)cols));
    *next += rows * cols;
    return (lcf_llama_matrix){block, LCF_GGUF_F32, rows, cols};
}

static const float *random_norm(float **next, size_t n, lcf_rng *rng)
{
    float *block = *next;

    for (size_t i = 0; i < n; i++)
        block[i] = 0.5f + lcf_rng_f32(rng);
    *next += n;
    return block;
}

void fixture_write(const char *path, const fixture_options *o)
{
    size_t q = o->heads_n * o->head_dim, kv = o->kv_heads_n * o->head_dim;
    lcf_llama_layer *layers = lcf_alloc_zero(o->layers_n, sizeof(*layers));
    lcf_llama m = {.layers = layers};
    lcf_err err = LCF_ERR_INIT;
    float *weights, *next;
    lcf_rng rng;

    lcf_rng_seed(&rng, o->seed, 0);
    if (lcf_tokenizer_train(&m.tokenizer, FIXTURE_TEXTS, FIXTURE_TEXTS_N, 320, &err))
        fail_msg("%s", err.text);
    m.config = (lcf_llama_config){
        .vocab_n = lcf_tokenizer_vocab_n(m.tokenizer),
        .dim = o->dim,
        .layers_n = o->layers_n,
        .heads_n = o->heads_n,
        .kv_heads_n = o->kv_heads_n,
        .head_dim = o->head_dim,
        .ffn_dim = o->ffn_dim,
        .context_n = o->context_n,
        .rope_theta = 10000,
        .norm_eps = 1e-5f,
        .tied = o->tied,
    };
    weights = lcf_alloc(2 * m.config.vocab_n * o->dim + o->dim +
                            o->layers_n * o->dim * (2 * q + 2 * kv + 3 * o->ffn_dim + 2),
                        sizeof(*weights));
    assert_non_null(weights);
    next = weights;
    m.embed = random_block(&next, m.config.vocab_n, o->dim, &rng);
    m.final_norm = random_norm(&next, o->dim, &rng);
    m.output = o->tied ? m.embed : random_block(&next, m.config.vocab_n, o->dim, &rng);
    for (size_t i = 0; i < o->layers_n; i++) {
        lcf_llama_layer *l = &layers[i];
        l->attn_norm = random_norm(&next, o->dim, &rng);
        l->ffn_norm = random_norm(&next, o->dim, &rng);
        l->wq = random_block(&next, q, o->dim, &rng);
        l->wk = random_block(&next, kv, o->dim, &rng);
        l->wv = random_block(&next, kv, o->dim, &rng);
        l->wo = random_block(&next, o->dim, q, &rng);
        l->w_gate = random_block(&next, o->ffn_dim, o->dim, &rng);
        l->w_up = random_block(&next, o->ffn_dim, o->dim, &rng);
        l->w_down = random_block(&next, o->dim, o->ffn_dim, &rng);
    }
    if (lcf_llama_save(path, &m, o->type, "fixture", &err))
        fail_msg("%s", err.text);
    lcf_tokenizer_free(m.tokenizer);
    free(weights);
    free(layers);
}

char *fixture_data(const char *name)
{
    const char *data = getenv("LCF_DATA");
    char path[4096];

    if (!data)
        return NULL;
    snprintf(path, sizeof(path), "%s/llama/%s", data, name);
    return lcf_path_exists(path) ? lcf_strdup(path) : NULL;
}

lcf_llama *fixture_open(const char *path, const fixture_options *options)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_llama *m;

    fixture_write(path, options);
    assert_ok(lcf_llama_open(&m, path, &err), &err);
    return m;
}

void fixture_ids(uint32_t *ids, size_t n, const lcf_llama *m, uint64_t seed)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)lcf_rng_below(&rng, m->config.vocab_n);
}

void fixture_feed(lcf_llama_session *s, const uint32_t *ids, size_t n, uint32_t seq,
                  const float **logits)
{
    lcf_llama_token batch[64];
    lcf_err err = LCF_ERR_INIT;

    assert_in_range(n, 1, 64);
    for (size_t i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){ids[i], seq, i + 1 == n};
    assert_ok(lcf_llama_decode(logits, s, batch, n, &err), &err);
}

static const char *const MARKERS[] = {"<|im_start|>", "<|im_end|>",        "<|start_header_id|>",
                                      "<|eot_id|>",   "<|end_header_id|>", "<|begin_of_text|>"};

enum { MARKERS_N = sizeof(MARKERS) / sizeof(*MARKERS) };

lcf_tokenizer *fixture_bytes_and_markers(void)
{
    static lcf_buf bytes[256];
    lcf_str pieces[256 + MARKERS_N];
    int32_t types[256 + MARKERS_N];
    lcf_vocab v = {.kind = LCF_TOKENIZER_BPE,
                   .n = 256 + MARKERS_N,
                   .pieces = pieces,
                   .types = types,
                   .pre = LCF_PRE_LLAMA3};
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;

    for (size_t i = 0; i < 256; i++) {
        const char byte = (char)i;
        lcf_buf_reset(&bytes[i]);
        lcf_byte_alphabet_encode(&bytes[i], (lcf_str){&byte, 1});
        pieces[i] = (lcf_str){bytes[i].data, bytes[i].len};
        types[i] = LCF_PIECE_NORMAL;
    }
    for (size_t i = 0; i < MARKERS_N; i++) {
        pieces[256 + i] = (lcf_str){MARKERS[i], strlen(MARKERS[i])};
        types[256 + i] = LCF_PIECE_CONTROL;
    }
    if (lcf_tokenizer_create(&t, &v, "bytes", &err))
        fail_msg("%s", err.text);
    t->bos = 256 + MARKERS_N - 1;
    for (size_t i = 0; i < 256; i++)
        lcf_buf_dispose(&bytes[i]);
    return t;
}

char *fixture_shown(const lcf_tokenizer *t, const lcf_tokens *ids)
{
    lcf_buf out = LCF_BUF_INIT;

    for (size_t i = 0; i < ids->n; i++)
        if (t->types[ids->ids[i]] == LCF_PIECE_CONTROL)
            lcf_buf_printf(&out, "{%.*s}", (int)t->pieces[ids->ids[i]].len,
                           t->pieces[ids->ids[i]].data);
        else
            lcf_tokenizer_decode(&out, t, &ids->ids[i], 1);
    lcf_buf_append_char(&out, 0);
    return lcf_buf_take(&out);
}
