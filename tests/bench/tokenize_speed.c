/*
 * Tokenizers: MB/s of encoding a text under a vocabulary, the best of several runs on this thread's
 * processor time.
 *
 *   tokenize_speed VOCABULARY.gguf TEXT
 */
#include "common/base/file.h"
#include "offline/llama/tokenizer.h"

#include <stdio.h>
#include <time.h>

enum { RUNS = 5, TEXT_BYTES_MAX = 1 << 28 };

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static lcf_status measure(const lcf_tokenizer *t, const lcf_buf *text, lcf_err *err)
{
    double best = 1e30;
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_status status = LCF_OK;

    for (int run = 0; run < RUNS && !status; run++) {
        double start = cpu_s(), took;
        ids.n = 0;
        status = lcf_tokenizer_encode(&ids, t, lcf_buf_text(text), text->len, true, err);
        took = cpu_s() - start;
        best = took < best ? took : best;
    }
    if (!status) {
        printf("tokenize %s,%.2f,MB/s\n", lcf_tokenizer_name(t), (double)text->len / best / 1e6);
        printf("tokenize %s bytes a token,%.3f,bytes\n", lcf_tokenizer_name(t),
               ids.n ? (double)text->len / (double)ids.n : 0);
    }
    lcf_tokens_dispose(&ids);
    return status;
}

int main(int argc, char **argv)
{
    lcf_gguf *g = NULL;
    lcf_tokenizer *t = NULL;
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: %s VOCABULARY.gguf TEXT\n", argv[0]);
        return 2;
    }
    status = lcf_gguf_open(&g, argv[1], &err);
    if (!status)
        status = lcf_tokenizer_from_gguf(&t, g, &err);
    if (!status)
        status = lcf_file_read(&text, argv[2], TEXT_BYTES_MAX, &err);
    if (!status)
        status = measure(t, &text, &err);
    if (status)
        fprintf(stderr, "tokenize_speed: %s\n", err.text);
    lcf_buf_dispose(&text);
    lcf_tokenizer_free(t);
    lcf_gguf_close(g);
    return status ? 1 : 0;
}
