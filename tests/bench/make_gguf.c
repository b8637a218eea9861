/*
 * Writes a LLaMA with made-up weights, for speed alone: one random block serves every tensor.
 *
 *     make_gguf OUT SHAPE TYPE       SHAPE 15m, 110m, 1b; TYPE F32, F16, BF16, Q8_0, Q4_0
 *
 * The vocabulary has 32,000 made-up pieces, with every byte among them, so that any text can be
 * encoded.
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VOCAB = 32000, BYTES_FIRST = 3, WORDS_FIRST = BYTES_FIRST + 256, PIECE_BYTES = 16 };

static const struct {
    const char *name;
    lcf_llama_config config;
} SHAPES[] = {
    {"15m",
     {.dim = 288,
      .layers_n = 6,
      .heads_n = 6,
      .kv_heads_n = 6,
      .head_dim = 48,
      .ffn_dim = 768,
      .tied = true}},
    {"110m",
     {.dim = 768,
      .layers_n = 12,
      .heads_n = 12,
      .kv_heads_n = 12,
      .head_dim = 64,
      .ffn_dim = 2048,
      .tied = true}},
    {"1b",
     {.dim = 2048,
      .layers_n = 22,
      .heads_n = 32,
      .kv_heads_n = 4,
      .head_dim = 64,
      .ffn_dim = 5632}},
};

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "make_gguf: %s\n", err->text);
        exit(1);
    }
}

static void *need(void *p)
{
    if (!p) {
        fputs("make_gguf: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void name_piece(char piece[PIECE_BYTES], size_t id)
{
    static const char *const SPECIAL[] = {"<unk>", "<s>", "</s>"};

    if (id < BYTES_FIRST)
        snprintf(piece, PIECE_BYTES, "%s", SPECIAL[id]);
    else if (id < WORDS_FIRST)
        snprintf(piece, PIECE_BYTES, "<0x%02X>", (unsigned)(id - BYTES_FIRST));
    else
        snprintf(piece, PIECE_BYTES, "\xe2\x96\x81%zx", id * 7919 % 1000003);
}

/* Through a file of its own, since a tokenizer is read from a GGUF. */
static lcf_tokenizer *made_up_tokenizer(const char *path)
{
    char(*pieces)[PIECE_BYTES] = need(lcf_alloc(VOCAB, sizeof(*pieces)));
    lcf_str *tokens = need(lcf_alloc(VOCAB, sizeof(*tokens)));
    float *scores = need(lcf_alloc(VOCAB, sizeof(*scores)));
    int32_t *types = need(lcf_alloc(VOCAB, sizeof(*types)));
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;
    lcf_gguf_writer *w;
    lcf_gguf *g;

    for (size_t id = 0; id < VOCAB; id++) {
        name_piece(pieces[id], id);
        tokens[id] = (lcf_str){pieces[id], strlen(pieces[id])};
        scores[id] = -(float)id;
        types[id] = id == 0 ? 2 : id < BYTES_FIRST ? 3 : id < WORDS_FIRST ? 6 : 1;
    }
    check(lcf_gguf_create(&w, path, &err), &err);
    check(lcf_gguf_add_string(w, "tokenizer.ggml.model", "llama", &err), &err);
    check(lcf_gguf_add_strings(w, "tokenizer.ggml.tokens", tokens, VOCAB, &err), &err);
    check(lcf_gguf_add_f32s(w, "tokenizer.ggml.scores", scores, VOCAB, &err), &err);
    check(lcf_gguf_add_i32s(w, "tokenizer.ggml.token_type", types, VOCAB, &err), &err);
    check(lcf_gguf_add_u32(w, "tokenizer.ggml.unknown_token_id", 0, &err), &err);
    check(lcf_gguf_add_u32(w, "tokenizer.ggml.bos_token_id", 1, &err), &err);
    check(lcf_gguf_add_u32(w, "tokenizer.ggml.eos_token_id", 2, &err), &err);
    check(lcf_gguf_commit(w, &err), &err);
    check(lcf_gguf_open(&g, path, &err), &err);
    check(lcf_tokenizer_from_gguf(&t, g, &err), &err);
    lcf_gguf_close(g);
    unlink(path);
    free(types);
    free(scores);
    free(tokens);
    free(pieces);
    return t;
}

static lcf_llama_matrix matrix(const float *values, size_t rows, size_t cols)
{
    return (lcf_llama_matrix){values, LCF_GGUF_F32, rows, cols};
}

static void bind(lcf_llama *m, const float *values, const float *ones)
{
    const lcf_llama_config *c = &m->config;
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;

    m->embed = m->output = matrix(values, c->vocab_n, c->dim);
    m->final_norm = ones;
    m->layers = need(lcf_alloc_zero(c->layers_n, sizeof(*m->layers)));
    for (size_t i = 0; i < c->layers_n; i++)
        m->layers[i] = (lcf_llama_layer){
            .attn_norm = ones,
            .ffn_norm = ones,
            .wq = matrix(values, q, c->dim),
            .wk = matrix(values, kv, c->dim),
            .wv = matrix(values, kv, c->dim),
            .wo = matrix(values, c->dim, q),
            .w_gate = matrix(values, c->ffn_dim, c->dim),
            .w_up = matrix(values, c->ffn_dim, c->dim),
            .w_down = matrix(values, c->dim, c->ffn_dim),
        };
}

static bool parse_type(lcf_gguf_type *out, const char *name)
{
    for (int type = 0; type <= 30; type++) {
        const char *known = lcf_gguf_type_name((lcf_gguf_type)type);
        *out = (lcf_gguf_type)type;
        if (known && !strcmp(known, name) && lcf_gguf_type_readable(*out))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    lcf_llama m = {.layers = NULL};
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf_type type;
    float *values, *ones;
    char path[4096];
    lcf_rng rng;

    lcf_cli_start(argc, argv);
    for (size_t i = 0; argc == 4 && i < sizeof(SHAPES) / sizeof(*SHAPES); i++)
        if (!strcmp(argv[2], SHAPES[i].name))
            m.config = SHAPES[i].config;
    if (!m.config.dim || !parse_type(&type, argv[3])) {
        fputs("usage: make_gguf OUT 15m|110m|1b TYPE\n", stderr);
        return 2;
    }
    m.config.vocab_n = VOCAB;
    m.config.context_n = 2048;
    m.config.rope_theta = 10000;
    m.config.norm_eps = 1e-5f;
    snprintf(path, sizeof(path), "%s.vocab", argv[1]);
    m.tokenizer = made_up_tokenizer(path);
    values = need(lcf_alloc_aligned((size_t)VOCAB * m.config.dim, sizeof(*values)));
    ones = need(lcf_alloc(m.config.dim, sizeof(*ones)));
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < (size_t)VOCAB * m.config.dim; i++)
        values[i] = (lcf_rng_f32(&rng) - 0.5f) / (float)sqrt((double)m.config.dim / 12);
    for (size_t i = 0; i < m.config.dim; i++)
        ones[i] = 1;
    bind(&m, values, ones);
    check(lcf_llama_save(argv[1], &m, type, argv[2], &err), &err);
    lcf_tokenizer_free(m.tokenizer);
    free(m.layers);
    free(values);
    free(ones);
    return 0;
}
