/*
 * Speed of a LLaMA from a file, as llama-batched-bench and llama-bench measure it: prefill of one
 * prompt of 512 tokens, and decoding of B sequences in step behind prompts of 16 tokens, without
 * sampling. Beside it what the machine could do at best (the floor): the bytes of the weights at
 * the speed of memory and their products at the speed of the processor, whichever takes longer.
 *
 * Each line comes twice: by the clock, and by the processor time of the whole process, which tells
 * more where others use the machine.
 *
 *     bench_llama MODEL.gguf [THREADS [BATCH ...]]     CSV on stdout: name,value,unit
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/llama/llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PROMPT = 16, STEPS = 32, PREFILL = 512, REPEATS = 3 };

typedef struct speed { /* tokens per second, the best of the repetitions */
    double wall, cpu;
} speed;

typedef struct start_time {
    double wall, cpu;
} start_time;

static double cpu_clock_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static start_time start_clock(void)
{
    return (start_time){lcf_clock_s(), cpu_clock_s()};
}

static void note(speed *best, size_t tokens, start_time start)
{
    double wall = (double)tokens / (lcf_clock_s() - start.wall);
    double cpu = (double)tokens / (cpu_clock_s() - start.cpu);

    best->wall = wall > best->wall ? wall : best->wall;
    best->cpu = cpu > best->cpu ? cpu : best->cpu;
}

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "bench_llama: %s\n", err->text);
        exit(1);
    }
}

static lcf_llama_session *open_session(const lcf_llama *m, size_t seqs, size_t batch,
                                       size_t threads)
{
    lcf_llama_session_options o = {.seqs_max = seqs,
                                   .context_n = seqs == 1 ? PREFILL : PROMPT + STEPS,
                                   .batch_max = batch,
                                   .threads = threads,
                                   .kv_f16 = true};
    lcf_err err = LCF_ERR_INIT;
    lcf_llama_session *s;

    check(lcf_llama_session_open(&s, m, &o, &err), &err);
    return s;
}

static uint32_t some_id(size_t i, const lcf_llama *m)
{
    return (uint32_t)(i * 7919 % m->config.vocab_n);
}

static speed prefill_speed(const lcf_llama *m, size_t threads)
{
    lcf_llama_session *s = open_session(m, 1, PREFILL, threads);
    lcf_llama_token batch[PREFILL];
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    speed best = {0, 0};

    for (size_t i = 0; i < PREFILL; i++)
        batch[i] = (lcf_llama_token){some_id(i, m), 0, i + 1 == PREFILL};
    for (size_t r = 0; r < REPEATS; r++) {
        start_time start = start_clock();
        lcf_llama_seq_reset(s, 0);
        check(lcf_llama_decode(&logits, s, batch, PREFILL, &err), &err);
        note(&best, PREFILL, start);
    }
    lcf_llama_session_free(s);
    return best;
}

static speed decode_speed(const lcf_llama *m, size_t seqs, size_t threads)
{
    size_t batch_max = seqs * PROMPT;
    lcf_llama_session *s = open_session(m, seqs, batch_max, threads);
    lcf_llama_token *batch = lcf_alloc(batch_max, sizeof(*batch));
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    speed best = {0, 0};

    for (size_t r = 0; batch && r < REPEATS; r++) {
        start_time start;
        for (size_t i = 0; i < batch_max; i++)
            batch[i] = (lcf_llama_token){some_id(i, m), (uint32_t)(i / PROMPT), false};
        for (size_t i = 0; i < seqs; i++)
            lcf_llama_seq_reset(s, (uint32_t)i);
        check(lcf_llama_decode(&logits, s, batch, batch_max, &err), &err);
        start = start_clock();
        for (size_t step = 0; step < STEPS; step++) {
            for (size_t i = 0; i < seqs; i++)
                batch[i] = (lcf_llama_token){some_id(i + step, m), (uint32_t)i, true};
            check(lcf_llama_decode(&logits, s, batch, seqs, &err), &err);
        }
        note(&best, seqs * STEPS, start);
    }
    free(batch);
    lcf_llama_session_free(s);
    return best;
}

static void report(const char *name, uint64_t n, speed s)
{
    printf("llama_%s_%llu,%.1f,tokens/s\n", name, (unsigned long long)n, s.wall);
    printf("llama_%s_%llu_cpu,%.1f,tokens/cpu-s\n", name, (unsigned long long)n, s.cpu);
}

int main(int argc, char **argv)
{
    static const uint64_t BATCHES[] = {1, 16, 32};
    size_t batches_n = argc > 3 ? (size_t)argc - 3 : sizeof(BATCHES) / sizeof(*BATCHES);
    lcf_err err = LCF_ERR_INIT;
    uint64_t threads = 0;
    lcf_llama *m;

    lcf_cli_start(argc, argv);
    if (argc < 2 || (argc > 2 && !lcf_parse_u64(argv[2], strlen(argv[2]), &threads))) {
        fputs("usage: bench_llama MODEL.gguf [THREADS [BATCH ...]]\n", stderr);
        return 2;
    }
    check(lcf_llama_open(&m, argv[1], &err), &err);
    report("prefill", PREFILL, prefill_speed(m, threads));
    for (size_t i = 0; i < batches_n; i++) {
        uint64_t batch = i < sizeof(BATCHES) / sizeof(*BATCHES) ? BATCHES[i] : 0;
        if (argc > 3 && (!lcf_parse_u64(argv[3 + i], strlen(argv[3 + i]), &batch) || !batch))
            return 2;
        report("decode", batch, decode_speed(m, batch, threads));
    }
    lcf_llama_close(m);
    return 0;
}
