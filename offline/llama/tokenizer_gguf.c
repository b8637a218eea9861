/*
 * Tokenizers to and from the keys of a GGUF (tokenizer.ggml.*).
 */
#include "offline/llama/tokenizer.h"

#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdlib.h>
#include <string.h>

static bool str_is(lcf_str s, const char *text)
{
    return s.len == strlen(text) && !memcmp(s.data, text, s.len);
}

static int shown(lcf_str s)
{
    return (int)(s.len < 64 ? s.len : 64);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* A key that may be missing; *out then stays. */
static lcf_status optional_bool(bool *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    return lcf_gguf_bool(out, g, key, NULL) == LCF_EFORMAT ? lcf_gguf_bool(out, g, key, err)
                                                           : LCF_OK;
}

/* An id that may be missing; *out then stays, as it does for -1 in 32 bits: "none". */
static lcf_status optional_id(uint32_t *out, const lcf_tokenizer *t, const lcf_gguf *g,
                              const char *key, lcf_err *err)
{
    uint64_t id = 0;
    lcf_status status = lcf_gguf_u64(&id, g, key, NULL);

    if (status == LCF_ENOTFOUND || (!status && id == UINT32_MAX))
        return LCF_OK;
    if (status)
        return lcf_gguf_u64(&id, g, key, err);
    if (id >= t->vocab_n)
        return LCF_FAIL(err, LCF_EFORMAT, "key '%s': id %llu in a vocabulary of %zu", key,
                        (unsigned long long)id, t->vocab_n);
    *out = (uint32_t)id;
    return LCF_OK;
}

/* What holds where the file says nothing. */
static lcf_status default_specials(lcf_tokenizer *t, lcf_err *err)
{
    static const char *const WORDPIECE[] = {"[CLS]", "[SEP]", "[UNK]"};
    uint32_t *slots[] = {&t->bos, &t->eos, &t->unknown};

    if (t->kind == LCF_TOKENIZER_SPM) {
        if (t->vocab_n < 3)
            return LCF_FAIL(err, LCF_EFORMAT, "vocabulary of %zu pieces", t->vocab_n);
        t->bos = 1;
        t->eos = 2;
    }
    if (t->kind == LCF_TOKENIZER_BPE)
        t->adds_bos = t->pre == LCF_PRE_LLAMA3;
    for (size_t i = 0; i < 3 && t->kind == LCF_TOKENIZER_WORDPIECE; i++) {
        *slots[i] = lcf_tokenizer_special(t, WORDPIECE[i], 5);
        if (*slots[i] == LCF_PIECE_NONE)
            *slots[i] = lcf_piece_map_get(&t->map, WORDPIECE[i], 5);
    }
    return LCF_OK;
}

static lcf_status read_specials(lcf_tokenizer *t, const lcf_gguf *g, lcf_err *err)
{
    /* a message of some models ends with a piece of its own that no key names */
    static const char *const ENDS[] = {"<|eot_id|>", "<|im_end|>"};
    bool wordpiece = t->kind == LCF_TOKENIZER_WORDPIECE;
    lcf_status status = default_specials(t, err);

    if (!status)
        status = optional_id(
            &t->bos, t, g,
            wordpiece ? "tokenizer.ggml.cls_token_id" : "tokenizer.ggml.bos_token_id", err);
    if (!status)
        status = optional_id(
            &t->eos, t, g,
            wordpiece ? "tokenizer.ggml.seperator_token_id" : "tokenizer.ggml.eos_token_id", err);
    if (!status && wordpiece)
        status = optional_id(&t->unknown, t, g, "tokenizer.ggml.unknown_token_id", err);
    if (!status && wordpiece && t->unknown == LCF_PIECE_NONE)
        status = LCF_FAIL(err, LCF_EFORMAT, "the vocabulary has no piece for unknown words");
    for (size_t i = 0; i < 2; i++)
        t->ends[i] = lcf_tokenizer_special(t, ENDS[i], strlen(ENDS[i]));
    if (!status)
        status = optional_id(&t->ends[2], t, g, "tokenizer.ggml.eot_token_id", err);
    if (!status && !wordpiece)
        status = optional_bool(&t->adds_prefix_space, g, "tokenizer.ggml.add_space_prefix", err);
    if (!status)
        status = optional_bool(&t->adds_bos, g, "tokenizer.ggml.add_bos_token", err);
    if (t->bos == LCF_PIECE_NONE)
        t->adds_bos = false;
    return status;
}

static lcf_status read_pretokenizer(lcf_vocab *v, const lcf_gguf *g, lcf_err *err)
{
    lcf_str name = {"gpt-2", 5}; /* what files meant before the key existed */
    lcf_status status = lcf_gguf_string(&name, g, "tokenizer.ggml.pre", NULL);

    if (status && status != LCF_ENOTFOUND)
        return lcf_gguf_string(&name, g, "tokenizer.ggml.pre", err);
    if (!lcf_pretokenizer_parse(&v->pre, name))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "pre-tokenizer '%.*s'; gpt-2, llama-bpe, qwen2 and smollm are supported",
                        shown(name), name.data);
    v->whole_words = v->pre == LCF_PRE_LLAMA3;
    return LCF_OK;
}

static lcf_status read_kind(lcf_tokenizer_kind *kind, const lcf_gguf *g, lcf_err *err)
{
    lcf_str model = {NULL, 0};
    lcf_status status = lcf_gguf_string(&model, g, "tokenizer.ggml.model", err);

    if (status == LCF_ENOTFOUND)
        return LCF_FAIL(err, LCF_EFORMAT, "the file has no vocabulary (tokenizer.ggml.model)");
    if (status)
        return status;
    *kind = str_is(model, "gpt2")   ? LCF_TOKENIZER_BPE
            : str_is(model, "bert") ? LCF_TOKENIZER_WORDPIECE
                                    : LCF_TOKENIZER_SPM;
    if (*kind == LCF_TOKENIZER_SPM && !str_is(model, "llama"))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "tokenizer model '%.*s'; llama (SentencePiece), gpt2 (byte-level BPE) and "
                        "bert (WordPiece) are supported",
                        shown(model), model.data);
    return LCF_OK;
}

/* Scores of SPM and merges of BPE must be there; types may be missing but for SPM. */
static lcf_status read_vocab(lcf_vocab *v, const lcf_gguf *g, lcf_err *err)
{
    size_t scores_n = 0, types_n = 0;
    bool spm = v->kind == LCF_TOKENIZER_SPM;
    lcf_status status = lcf_gguf_strings(&v->pieces, &v->n, g, "tokenizer.ggml.tokens", err);

    if (!status && spm)
        status = lcf_gguf_f32s(&v->scores, &scores_n, g, "tokenizer.ggml.scores", err);
    if (!status) {
        status = lcf_gguf_i32s(&v->types, &types_n, g, "tokenizer.ggml.token_type", NULL);
        if (status == LCF_ENOTFOUND && !spm) {
            status = LCF_OK;
            types_n = v->n;
        } else if (status) {
            status = lcf_gguf_i32s(&v->types, &types_n, g, "tokenizer.ggml.token_type", err);
        }
    }
    if (!status && v->kind == LCF_TOKENIZER_BPE)
        status = lcf_gguf_strings(&v->merges, &v->merges_n, g, "tokenizer.ggml.merges", err);
    if (!status && v->kind == LCF_TOKENIZER_BPE)
        status = read_pretokenizer(v, g, err);
    if (status)
        return status == LCF_ENOTFOUND ? LCF_EFORMAT : status;
    if (types_n != v->n || (spm && scores_n != v->n))
        return LCF_FAIL(err, LCF_EFORMAT, "vocabulary of %zu pieces, %zu scores and %zu types",
                        v->n, scores_n, types_n);
    return LCF_OK;
}

lcf_status lcf_tokenizer_from_gguf(lcf_tokenizer **out, const lcf_gguf *g, lcf_err *err)
{
    lcf_vocab v = {0};
    lcf_tokenizer *t = NULL;
    lcf_status status = read_kind(&v.kind, g, err);

    *out = NULL;
    if (!status)
        status = read_vocab(&v, g, err);
    if (!status)
        status = lcf_tokenizer_create(&t, &v, "vocabulary", err);
    if (!status)
        status = read_specials(t, g, err);
    if (!status) {
        *out = t;
        t = NULL;
    }
    lcf_tokenizer_free(t);
    return status;
}

const char *lcf_tokenizer_name(const lcf_tokenizer *t)
{
    if (t->kind == LCF_TOKENIZER_SPM)
        return "llama";
    if (t->kind == LCF_TOKENIZER_WORDPIECE)
        return "bert";
    switch (t->pre) {
    case LCF_PRE_GPT2:
        return "gpt2 (gpt-2)";
    case LCF_PRE_LLAMA3:
        return "gpt2 (llama-bpe)";
    case LCF_PRE_QWEN2:
        return "gpt2 (qwen2)";
    case LCF_PRE_SMOLLM:
        break;
    }
    return "gpt2 (smollm)";
}

/* ---- writing ------------------------------------------------------------------------------ */

static int merge_order(const void *a, const void *b)
{
    uint32_t x = ((const lcf_merge *)a)->rank, y = ((const lcf_merge *)b)->rank;

    return (x > y) - (x < y);
}

/* The merges in order of rank, as "left right" in the byte alphabet, one after another in `text`,
 * each ended by a NUL. */
static lcf_status list_merges(lcf_buf *text, const lcf_tokenizer *t)
{
    lcf_merge *merges = lcf_alloc(t->merges_n ? t->merges_n : 1, sizeof(*merges));
    size_t n = 0;

    if (!merges)
        return LCF_ENOMEM;
    for (size_t i = 0; i <= t->merges_mask; i++)
        if (t->merges[i].left != LCF_PIECE_NONE)
            merges[n++] = t->merges[i];
    qsort(merges, n, sizeof(*merges), merge_order);
    for (size_t i = 0; i < n; i++) {
        lcf_byte_alphabet_encode(text, t->spellings[merges[i].left]);
        lcf_buf_append_char(text, ' ');
        lcf_byte_alphabet_encode(text, t->spellings[merges[i].right]);
        lcf_buf_append_char(text, 0);
    }
    free(merges);
    return text->status;
}

static lcf_status save_merges(const lcf_tokenizer *t, lcf_gguf_writer *w, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_str *merges = lcf_alloc(t->merges_n ? t->merges_n : 1, sizeof(*merges));
    const char *at;
    lcf_status status = merges ? list_merges(&text, t) : LCF_ENOMEM;

    if (status) {
        status = LCF_FAIL(err, status, "%zu merges", t->merges_n);
        goto done;
    }
    at = lcf_buf_text(&text);
    for (size_t i = 0; i < t->merges_n; i++) {
        merges[i] = (lcf_str){at, strlen(at)};
        at += merges[i].len + 1;
    }
    status = lcf_gguf_add_strings(w, "tokenizer.ggml.merges", merges, t->merges_n, err);
    if (!status)
        status = lcf_gguf_add_string(w, "tokenizer.ggml.pre", lcf_pretokenizer_name(t->pre), err);
done:
    lcf_buf_dispose(&text);
    free(merges);
    return status;
}

static lcf_status save_id(lcf_gguf_writer *w, const char *key, uint32_t id, lcf_err *err)
{
    return id == LCF_PIECE_NONE ? LCF_OK : lcf_gguf_add_u32(w, key, id, err);
}

static lcf_status save_specials(const lcf_tokenizer *t, lcf_gguf_writer *w, lcf_err *err)
{
    bool wordpiece = t->kind == LCF_TOKENIZER_WORDPIECE;
    lcf_status status = save_id(
        w, wordpiece ? "tokenizer.ggml.cls_token_id" : "tokenizer.ggml.bos_token_id", t->bos, err);

    if (!status)
        status = save_id(
            w, wordpiece ? "tokenizer.ggml.seperator_token_id" : "tokenizer.ggml.eos_token_id",
            t->eos, err);
    if (!status)
        status = save_id(w, "tokenizer.ggml.eot_token_id", t->ends[2], err);
    if (!status)
        status = save_id(w, "tokenizer.ggml.unknown_token_id", t->unknown, err);
    if (!status && !wordpiece)
        status = lcf_gguf_add_bool(w, "tokenizer.ggml.add_space_prefix", t->adds_prefix_space, err);
    if (!status)
        status = lcf_gguf_add_bool(w, "tokenizer.ggml.add_bos_token", t->adds_bos, err);
    return status;
}

lcf_status lcf_tokenizer_save(const lcf_tokenizer *t, lcf_gguf_writer *w, lcf_err *err)
{
    static const char *const MODELS[] = {"llama", "gpt2", "bert"};
    lcf_status status = lcf_gguf_add_string(w, "tokenizer.ggml.model", MODELS[t->kind], err);

    if (!status)
        status = lcf_gguf_add_strings(w, "tokenizer.ggml.tokens", t->pieces, t->vocab_n, err);
    if (!status && t->kind == LCF_TOKENIZER_SPM)
        status = lcf_gguf_add_f32s(w, "tokenizer.ggml.scores", t->scores, t->vocab_n, err);
    if (!status)
        status = lcf_gguf_add_i32s(w, "tokenizer.ggml.token_type", t->types, t->vocab_n, err);
    if (!status && t->kind == LCF_TOKENIZER_BPE)
        status = save_merges(t, w, err);
    return status ? status : save_specials(t, w, err);
}
