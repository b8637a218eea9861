/*
 * WordPiece: a text is folded (no accents, lower case), falls into words at white space, around
 * punctuation and around ideographs, and a word into the longest pieces from its left. A word that
 * has no such cover is one unknown piece.
 *
 * The vocabulary of a GGUF marks the pieces that begin a word by U+2581; those that continue one
 * are bare.
 *
 * source   Devlin et al. 2018 (BERT), its basic tokenizer for uncased models; Wu et al. 2016
 */
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_CHARS_MAX = 100 }; /* a longer word is unknown */

typedef struct wordpiece {
    const lcf_tokenizer *t;
    lcf_tokens *out;
    char word[LCF_SPACE_MARK_BYTES + 4 * WORD_CHARS_MAX]; /* the mark first */
    size_t bytes_n, chars_n;                              /* of the word without its mark */
} wordpiece;

/* The end of the longest piece from `at`; `at` itself when there is none. */
static size_t longest(uint32_t *id, const wordpiece *w, size_t at, size_t end)
{
    size_t most = w->t->piece_bytes_max;

    for (size_t n = end - at < most ? end - at : most; n; n--) {
        *id = lcf_piece_map_get(&w->t->map, w->word + at, n);
        if (*id != LCF_PIECE_NONE)
            return at + n;
    }
    return at;
}

static lcf_status end_word(wordpiece *w)
{
    size_t before_n = w->out->n, end = LCF_SPACE_MARK_BYTES + w->bytes_n, at = 0;
    bool unknown = w->chars_n > WORD_CHARS_MAX;
    lcf_status status = LCF_OK;

    if (!w->chars_n)
        return LCF_OK;
    while (at < end && !unknown && !status) {
        uint32_t id = 0;
        size_t next = longest(&id, w, at, end);
        unknown = next == at;
        if (!unknown)
            status = lcf_tokens_push(w->out, id);
        at = next;
    }
    w->bytes_n = w->chars_n = 0;
    if (status || !unknown)
        return status;
    w->out->n = before_n;
    return lcf_tokens_push(w->out, w->t->unknown);
}

static void add_char(wordpiece *w, uint32_t c)
{
    if (++w->chars_n <= WORD_CHARS_MAX)
        w->bytes_n += lcf_char_write(w->word + LCF_SPACE_MARK_BYTES + w->bytes_n, c);
}

/* White space is what ends words; the line separators that are control characters vanish. */
static bool is_gap(uint32_t c, lcf_char_class class)
{
    return class == LCF_CHAR_SPACE && c != 0x0b && c != 0x0c && c != 0x85;
}

static lcf_status take_char(wordpiece *w, uint32_t c)
{
    lcf_char_class class = lcf_char_class_of(c);
    uint32_t folded[LCF_FOLD_MAX];
    size_t n;
    lcf_status status = LCF_OK;

    if (is_gap(c, class))
        return end_word(w);
    if (class == LCF_CHAR_CONTROL || class == LCF_CHAR_SPACE || c == 0xfffd)
        return LCF_OK;
    n = lcf_char_fold(folded, c);
    for (size_t i = 0; i < n && !status; i++) {
        bool alone = lcf_char_class_of(folded[i]) == LCF_CHAR_PUNCT || lcf_char_is_ideograph(c);
        if (alone)
            status = end_word(w);
        add_char(w, folded[i]);
        if (alone && !status)
            status = end_word(w);
    }
    return status;
}

lcf_status lcf_encode_wordpiece(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                                size_t len)
{
    wordpiece w = {.t = t, .out = out};
    lcf_status status = LCF_OK;

    memcpy(w.word, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES);
    for (size_t at = 0; at < len && !status;) {
        uint32_t c;
        at += lcf_char_read(&c, text + at, len - at);
        status = take_char(&w, c);
    }
    return status ? status : end_word(&w);
}
