/*
 * Fuzz target: texts under tokenizers of every kind. The first byte chooses the tokenizer. What is
 * said decodes to what was said (not for WordPiece), never holds a control piece, and a chat
 * template holds exactly its own.
 */
#include "offline/llama/chat.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BPE_N = 4, KINDS_N = BPE_N + 2, PIECES_N = 256 + 6 };

static lcf_tokenizer *made[KINDS_N];

static void must(bool good)
{
    if (!good)
        abort();
}

static lcf_str str(const char *text)
{
    return (lcf_str){text, strlen(text)};
}

/* Bytes, three merges, two markers and a user-defined piece. */
static lcf_tokenizer *make_bpe(lcf_pretokenizer pre)
{
    static const lcf_str MERGES[] = {{"t h", 3}, {"th e", 4}, {"\xc4\xa0 the", 6}};
    lcf_str pieces[PIECES_N];
    int32_t types[PIECES_N];
    lcf_buf bytes[256] = {{0}};
    lcf_vocab v = {.kind = LCF_TOKENIZER_BPE,
                   .n = PIECES_N,
                   .pieces = pieces,
                   .types = types,
                   .pre = pre,
                   .whole_words = pre == LCF_PRE_LLAMA3,
                   .merges = MERGES,
                   .merges_n = 3};
    lcf_tokenizer *t;

    for (size_t i = 0; i < 256; i++) {
        const char byte = (char)i;
        lcf_byte_alphabet_encode(&bytes[i], (lcf_str){&byte, 1});
        pieces[i] = (lcf_str){bytes[i].data, bytes[i].len};
    }
    pieces[256] = str("th");
    pieces[257] = str("the");
    pieces[258] = str("\xc4\xa0the");
    pieces[259] = str("<|im_start|>");
    pieces[260] = str("<|im_end|>");
    pieces[261] = str("<tab>");
    for (size_t i = 0; i < PIECES_N; i++)
        types[i] = i < 259 ? LCF_PIECE_NORMAL : i < 261 ? LCF_PIECE_CONTROL : LCF_PIECE_USER;
    must(!lcf_tokenizer_create(&t, &v, "fuzz", NULL));
    for (size_t i = 0; i < 256; i++)
        lcf_buf_dispose(&bytes[i]);
    return t;
}

static lcf_tokenizer *make_spm(void)
{
    static const lcf_str TEXTS[] = {{"the cat sat on the mat [INST] the cat [/INST]", 46}};
    lcf_tokenizer *t;

    must(!lcf_tokenizer_train(&t, TEXTS, 1, 300, NULL));
    return t;
}

static lcf_tokenizer *make_wordpiece(void)
{
    static const lcf_str PIECES[] = {{"[UNK]", 5},
                                     {LCF_SPACE_MARK "the", 6},
                                     {"e", 1},
                                     {LCF_SPACE_MARK "e", 4},
                                     {LCF_SPACE_MARK "!", 4}};
    static const int32_t TYPES[] = {3, 1, 1, 1, 1};
    const lcf_vocab v = {.kind = LCF_TOKENIZER_WORDPIECE, .n = 5, .pieces = PIECES, .types = TYPES};
    lcf_tokenizer *t;

    must(!lcf_tokenizer_create(&t, &v, "fuzz", NULL));
    t->unknown = 0;
    return t;
}

static const lcf_tokenizer *tokenizer(size_t kind)
{
    if (!made[kind])
        made[kind] = kind < BPE_N    ? make_bpe((lcf_pretokenizer)kind)
                     : kind == BPE_N ? make_spm()
                                     : make_wordpiece();
    return made[kind];
}

static size_t controls(const lcf_tokenizer *t, const lcf_tokens *ids)
{
    size_t n = 0;

    for (size_t i = 0; i < ids->n; i++) {
        must(ids->ids[i] < lcf_tokenizer_vocab_n(t));
        n += t->types[ids->ids[i]] == LCF_PIECE_CONTROL;
    }
    return n;
}

static void check_text(const lcf_tokenizer *t, const char *text, size_t len)
{
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_buf back = LCF_BUF_INIT;

    must(!lcf_tokenizer_encode(&ids, t, text, len, false, NULL));
    if (lcf_tokenizer_kind_of(t) != LCF_TOKENIZER_WORDPIECE) {
        must(!controls(t, &ids));
        lcf_tokenizer_decode(&back, t, ids.ids, ids.n);
        must(back.len == len && (!len || !memcmp(back.data, text, len)));
    }
    lcf_tokens_dispose(&ids);
    lcf_buf_dispose(&back);
}

static void check_chat(const lcf_tokenizer *t, lcf_template chat, lcf_str text)
{
    lcf_tokens ids = LCF_TOKENS_INIT, bare = LCF_TOKENS_INIT;

    must(!lcf_template_encode(&ids, t, chat, str("s"), text, NULL));
    must(!lcf_template_encode(&bare, t, chat, str("s"), str("x"), NULL));
    must(controls(t, &ids) == controls(t, &bare));
    lcf_tokens_dispose(&ids);
    lcf_tokens_dispose(&bare);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    const lcf_tokenizer *t;

    if (!size)
        return 0;
    t = tokenizer(data[0] % KINDS_N);
    check_text(t, text, size - 1);
    if (lcf_tokenizer_kind_of(t) != LCF_TOKENIZER_WORDPIECE)
        for (int chat = LCF_TEMPLATE_PLAIN; chat <= LCF_TEMPLATE_MISTRAL; chat++)
            check_chat(t, (lcf_template)chat, (lcf_str){text, size - 1});
    return 0;
}
