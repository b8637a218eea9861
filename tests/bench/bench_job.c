/*
 * A whole chain-of-thought job as the decoder runs it: prompts of a shared instruction and a row of
 * their own, three candidates each; job_peer.py asks the same of a llama.cpp server.
 *
 *     bench_job MODEL.gguf [THREADS [ROWS [SLOTS]]]      CSV on stdout: name,value,unit
 */
#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/recgen/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARED = 200, OWN = 150, CANDIDATES = 3, TOKENS = 128 };

typedef struct job {
    const lcf_llama *m;
    size_t next, rows;
} job;

static lcf_status next(void *arg, lcf_decoder_row *row, bool *any, lcf_err *err)
{
    job *j = arg;

    *any = j->next < j->rows;
    if (!*any)
        return LCF_OK;
    row->id = j->next++;
    row->key = lcf_hash128_of(&row->id, sizeof(row->id));
    for (size_t i = 0; i < SHARED + OWN; i++) {
        size_t at = i < SHARED ? i : i + row->id * OWN;
        uint32_t id = 1000 + (uint32_t)(at * 7919 % (j->m->config.vocab_n - 1000));
        if (lcf_tokens_push(&row->prompt, id))
            return LCF_FAIL(err, LCF_ENOMEM, "prompt");
    }
    return LCF_OK;
}

static lcf_status done(void *arg, const lcf_decoder_row *row, const lcf_candidate *candidates,
                       lcf_err *err)
{
    (void)arg;
    (void)row;
    (void)candidates;
    (void)err;
    return LCF_OK;
}

static void check(lcf_status status, const lcf_err *err)
{
    if (status) {
        fprintf(stderr, "bench_job: %s\n", err->text);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    uint64_t numbers[3] = {0, 16, 24}; /* threads, rows, slots */
    lcf_err err = LCF_ERR_INIT;
    const lcf_decoder_stats *stats;
    lcf_decoder_options options = {
        .decoding = {CANDIDATES, 0, TOKENS, LCF_SAMPLING_INIT, {.n = 0}}};
    lcf_decoder *d;
    lcf_llama *m;
    double start, seconds;
    job j;

    lcf_cli_start(argc, argv);
    for (int i = 2; i < argc && i < 5; i++)
        if (!lcf_parse_u64(argv[i], strlen(argv[i]), &numbers[i - 2]))
            argc = 0;
    if (argc < 2) {
        fputs("usage: bench_job MODEL.gguf [THREADS [ROWS [SLOTS]]]\n", stderr);
        return 2;
    }
    check(lcf_llama_open(&m, argv[1], &err), &err);
    options.threads = numbers[0];
    options.slots = numbers[2];
    options.kv_bytes_max = (size_t)2 << 30;
    check(lcf_decoder_create(&d, m, &options, &err), &err);
    j = (job){m, 0, numbers[1]};
    start = lcf_clock_s();
    check(lcf_decoder_run(d, &(lcf_decoder_source){&j, next, done}, &err), &err);
    seconds = lcf_clock_s() - start;
    stats = lcf_decoder_stats_of(d);
    printf("cot_rows,%.3f,rows/s\n", (double)numbers[1] / seconds);
    printf("cot_made,%.1f,tokens/s\n", (double)stats->made_tokens / seconds);
    printf("cot_prompt_computed,%.4f,of served\n",
           (double)stats->prompt_computed / (double)stats->prompt_tokens);
    lcf_decoder_free(d);
    lcf_llama_close(m);
    return 0;
}
