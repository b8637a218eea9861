/*
 * Generation speed on one thread, at the size of the default RecGen-LLaMA (3 M parameters): the
 * prompts of a batch of sequences, then decoding all of them in step, as `generate` does. Weights
 * are random: speed does not depend on them.
 *
 *     bench_generate [STEPS]      CSV on stdout: name,value,unit (median over the repetitions)
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/math/kernels.h"
#include "offline/llama/llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQS = 64, PROMPT = 300, CONTEXT = 512, BATCH = 512, REPEATS = 3, STEPS = 100 };

static void *need(void *p)
{
    if (!p) {
        fputs("bench_generate: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "bench_generate: %s\n", err->text);
        exit(1);
    }
}

static float *random_values(size_t rows, size_t cols, lcf_rng *rng)
{
    float *w = need(lcf_alloc_aligned(rows * cols, sizeof(*w)));

    for (size_t i = 0; i < rows * cols; i++)
        w[i] = (lcf_rng_f32(rng) - 0.5f) / (float)sqrt((double)cols / 12);
    return w;
}

static lcf_llama_matrix random_matrix(size_t rows, size_t cols, lcf_rng *rng)
{
    return (lcf_llama_matrix){random_values(rows, cols, rng), LCF_GGUF_F32, rows, cols};
}

/* Lives as long as the program. */
static lcf_llama *random_model(void)
{
    lcf_llama *m = need(lcf_alloc_zero(1, sizeof(*m)));
    lcf_llama_config c = {.vocab_n = 4096,
                          .dim = 192,
                          .layers_n = 6,
                          .heads_n = 6,
                          .kv_heads_n = 3,
                          .head_dim = 32,
                          .ffn_dim = 512,
                          .context_n = CONTEXT,
                          .rope_theta = 10000,
                          .norm_eps = 1e-5f,
                          .tied = true};
    size_t q = c.heads_n * c.head_dim, kv = c.kv_heads_n * c.head_dim;
    lcf_rng rng;

    lcf_rng_seed(&rng, 1, 0);
    m->config = c;
    m->embed = m->output = random_matrix(c.vocab_n, c.dim, &rng);
    m->final_norm = random_values(1, c.dim, &rng);
    m->layers = need(lcf_alloc_zero(c.layers_n, sizeof(*m->layers)));
    for (size_t i = 0; i < c.layers_n; i++)
        m->layers[i] = (lcf_llama_layer){
            .attn_norm = random_values(1, c.dim, &rng),
            .ffn_norm = random_values(1, c.dim, &rng),
            .wq = random_matrix(q, c.dim, &rng),
            .wk = random_matrix(kv, c.dim, &rng),
            .wv = random_matrix(kv, c.dim, &rng),
            .wo = random_matrix(c.dim, q, &rng),
            .w_gate = random_matrix(c.ffn_dim, c.dim, &rng),
            .w_up = random_matrix(c.ffn_dim, c.dim, &rng),
            .w_down = random_matrix(c.dim, c.ffn_dim, &rng),
        };
    return m;
}

/* `prompts_n` prompts, in batches across their borders; the other sequences are copies. */
static void prefill(lcf_llama_session *s, const lcf_llama *m, size_t prompts_n)
{
    lcf_llama_token batch[BATCH];
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    size_t n = 0;

    for (uint32_t seq = 0; seq < SEQS; seq++)
        lcf_llama_seq_reset(s, seq);
    for (size_t i = 0; i < prompts_n * PROMPT; i++) {
        batch[n++] = (lcf_llama_token){(uint32_t)(i * 7919 % m->config.vocab_n),
                                       (uint32_t)(i / PROMPT), i % PROMPT + 1 == PROMPT};
        if (n == BATCH || i + 1 == prompts_n * PROMPT) {
            check(lcf_llama_decode(&logits, s, batch, n, &err), &err);
            n = 0;
        }
    }
    for (uint32_t seq = (uint32_t)prompts_n; seq < SEQS; seq++)
        if (!lcf_llama_seq_copy(s, seq, (uint32_t)(seq * prompts_n / SEQS), PROMPT))
            exit(1); /* there is room for all */
}

typedef struct decode_times {
    double network_s, sampling_s;
} decode_times;

static decode_times decode(lcf_llama_session *s, lcf_sampler *sampler, const lcf_llama *m,
                           size_t steps)
{
    lcf_sampling sampling = LCF_SAMPLING_INIT;
    lcf_llama_token batch[SEQS];
    decode_times times = {0, 0};
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    lcf_rng_seed(&rng, 2, 0);
    for (uint32_t seq = 0; seq < SEQS; seq++)
        batch[seq] = (lcf_llama_token){seq, seq, true};
    for (size_t step = 0; step < steps; step++) {
        const float *logits;
        double start = lcf_clock_s(), middle;
        check(lcf_llama_decode(&logits, s, batch, SEQS, &err), &err);
        middle = lcf_clock_s();
        for (size_t i = 0; i < SEQS; i++) {
            float logprob;
            batch[i].id = lcf_sampler_next(sampler, logits + i * m->config.vocab_n, NULL, 0,
                                           &sampling, &rng, &logprob);
        }
        times.network_s += middle - start;
        times.sampling_s += lcf_clock_s() - middle;
    }
    return times;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(const char *name, double *values, const char *unit)
{
    qsort(values, REPEATS, sizeof(*values), ascending);
    printf("%s,%.1f,%s\n", name, values[REPEATS / 2], unit);
}

static void measure(lcf_llama_session *s, lcf_sampler *sampler, const lcf_llama *m,
                    size_t prompts_n, size_t steps, const char *name)
{
    double prompt[REPEATS], made[REPEATS], network[REPEATS], sampling[REPEATS];
    char label[64];

    for (size_t r = 0; r < REPEATS; r++) {
        double start = lcf_clock_s();
        decode_times t;
        prefill(s, m, prompts_n);
        prompt[r] = (double)(prompts_n * PROMPT) / (lcf_clock_s() - start);
        t = decode(s, sampler, m, steps);
        made[r] = (double)(SEQS * steps) / (t.network_s + t.sampling_s);
        network[r] = t.network_s / (double)steps * 1e3;
        sampling[r] = t.sampling_s / (double)steps * 1e3;
    }
    snprintf(label, sizeof(label), "generate_%s_prefill", name);
    report(label, prompt, "tokens/s");
    snprintf(label, sizeof(label), "generate_%s_decode", name);
    report(label, made, "tokens/s");
    snprintf(label, sizeof(label), "generate_%s_step_network", name);
    report(label, network, "ms");
    snprintf(label, sizeof(label), "generate_%s_step_sampling", name);
    report(label, sampling, "ms");
}

int main(int argc, char **argv)
{
    uint64_t steps = STEPS;
    lcf_llama_session *s;
    lcf_sampler *sampler;
    lcf_err err = LCF_ERR_INIT;
    lcf_llama *m;
    bool fast;

    lcf_cli_start(argc, argv);
    if (argc > 2 || (argc == 2 && (!lcf_parse_u64(argv[1], strlen(argv[1]), &steps) || !steps ||
                                   steps > CONTEXT - PROMPT))) {
        fprintf(stderr, "usage: bench_generate [STEPS], 1 to %d\n", CONTEXT - PROMPT);
        return 2;
    }
    fprintf(stderr, "BLAS core %s\n", lcf_blas_core(&fast));
    m = random_model();
    check(lcf_llama_session_create(&s, m, SEQS, CONTEXT, BATCH, &err), &err);
    check(lcf_sampler_create(&sampler, m->config.vocab_n, &err), &err);
    prefill(s, m, 4); /* warm-up */
    measure(s, sampler, m, SEQS, steps, "separate");
    measure(s, sampler, m, SEQS / 4, steps, "shared4"); /* each prompt for four candidates */
    printf("generate_session,%.1f,MB\n", (double)lcf_llama_session_bytes(s) / 1e6);
    lcf_sampler_free(sampler);
    lcf_llama_session_free(s);
    return 0;
}
