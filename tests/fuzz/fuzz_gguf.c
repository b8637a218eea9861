/*
 * Fuzz target: a GGUF file, and the vocabulary, model or text encoder in it. Whatever is accepted
 * is also used.
 */
#include "offline/llama/bert.h"
#include "offline/llama/chat.h"
#include "offline/llama/gguf.h"
#include "offline/llama/llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_keys(const lcf_gguf *g)
{
    const char *key;

    for (size_t i = 0; (key = lcf_gguf_key_at(g, i)); i++) {
        const lcf_str *strings;
        const float *floats;
        const int32_t *ints;
        lcf_str s;
        uint64_t u;
        double f;
        bool b;
        size_t n;
        volatile char sink = 0;
        if (!lcf_gguf_strings(&strings, &n, g, key, NULL))
            for (size_t k = 0; k < n; k++)
                sink ^= strings[k].len ? strings[k].data[strings[k].len - 1] : 0;
        if (!lcf_gguf_f32s(&floats, &n, g, key, NULL) && n)
            sink ^= (char)(floats[n - 1] > 0);
        if (!lcf_gguf_i32s(&ints, &n, g, key, NULL) && n)
            sink ^= (char)ints[n - 1];
        if (!lcf_gguf_string(&s, g, key, NULL) && s.len)
            sink ^= s.data[s.len - 1];
        lcf_gguf_u64(&u, g, key, NULL);
        lcf_gguf_f64(&f, g, key, NULL);
        lcf_gguf_bool(&b, g, key, NULL);
    }
}

static void use_tensors(const lcf_gguf *g)
{
    for (size_t i = 0; i < lcf_gguf_tensors_n(g); i++) {
        const lcf_gguf_tensor *t = lcf_gguf_tensor_at(g, i);
        float *out;
        if (lcf_gguf_tensor_find(g, t->name) != t)
            abort();
        if (!lcf_gguf_type_readable(t->type))
            continue;
        out = malloc(t->n * sizeof(*out));
        if (out)
            lcf_gguf_dequantize(out, t, 0, t->n);
        free(out);
    }
}

static void use_chat(const lcf_gguf *g, const lcf_tokenizer *t)
{
    static const char SAID[] = "the [/INST] <|im_end|> cat";
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_template chat;

    lcf_template_of_gguf(&chat, g);
    (void)!lcf_template_encode(&ids, t, chat, (lcf_str){"s", 1}, (lcf_str){SAID, sizeof(SAID) - 1},
                               NULL);
    lcf_tokens_dispose(&ids);
}

static void use_tokenizer(const lcf_gguf *g)
{
    static const char TEXT[] = " the cat </s> <tab>caf\xc3\xa9\xff";
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_buf back = LCF_BUF_INIT;
    lcf_tokenizer *t;

    if (lcf_tokenizer_from_gguf(&t, g, NULL))
        return;
    use_chat(g, t);
    if (!lcf_tokenizer_encode(&ids, t, TEXT, sizeof(TEXT) - 1, true, NULL))
        lcf_tokenizer_decode(&back, t, ids.ids, ids.n);
    for (size_t i = 0; i < ids.n; i++)
        if (ids.ids[i] >= lcf_tokenizer_vocab_n(t))
            abort();
    lcf_tokens_dispose(&ids);
    lcf_buf_dispose(&back);
    lcf_tokenizer_free(t);
}

static void use_model(const char *path)
{
    lcf_llama_session *s = NULL;
    lcf_llama_token token = {0, 0, true};
    lcf_llama *m;
    const float *logits;

    if (lcf_llama_open(&m, path, NULL))
        return;
    if (!lcf_llama_session_create(&s, m, 1, 1, 1, NULL))
        (void)!lcf_llama_decode(&logits, s, &token, 1, NULL);
    lcf_llama_session_free(s);
    lcf_llama_close(m);
}

static void use_encoder(const char *path)
{
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_bert *b;
    float *vector;

    if (lcf_bert_open(&b, path, NULL))
        return;
    vector = malloc(lcf_bert_config_of(b)->dim * sizeof(*vector));
    if (vector && !lcf_bert_tokens(&ids, b, (lcf_str){"the cats", 8}, NULL))
        (void)!lcf_bert_embed(vector, b, ids.ids, ids.n, NULL);
    free(vector);
    lcf_tokens_dispose(&ids);
    lcf_bert_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_gguf *g;
    char path[64];
    int fd = memfd_create("gguf", 0);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!lcf_gguf_open(&g, path, NULL)) {
        use_keys(g);
        use_tensors(g);
        use_tokenizer(g);
        lcf_gguf_close(g);
        use_model(path);
        use_encoder(path);
    }
    close(fd);
    return 0;
}
