/*
 * Encoding: the characters of a text are merged pairwise, always the adjacent pair whose
 * concatenation is the piece of the best score, the leftmost of equals, until none is a piece; what
 * is no piece then is spelled in bytes.
 *
 * No piece of an ordinary vocabulary has a space mark behind another character, so the text falls
 * into independent words there, and the queue of pairs stays small. A U+2581 in the text itself is
 * spelled in bytes: it is no space, and must come back as what it was.
 *
 * source   Kudo and Richardson 2018 (SentencePiece), the BPE encoder as in GGUF's `llama`
 */
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdlib.h>
#include <string.h>

typedef struct symbol { /* a run of characters of the word; len 0 once merged into its left one */
    uint32_t at, len;
    int32_t previous, next; /* -1 at the ends */
    bool literal;           /* a U+2581 of the text: takes part in no merge */
} symbol;

typedef struct pair { /* a possible merge; stale when a length has changed since */
    float score;
    uint32_t left, right, len;
} pair;

typedef struct encoder {
    const lcf_tokenizer *t;
    lcf_tokens *out;
    char *word; /* spaces replaced by space marks */
    size_t word_n, word_capacity;
    symbol *symbols;
    size_t symbols_n, symbols_capacity;
    pair *heap;
    size_t heap_n, heap_capacity;
} encoder;

static bool before(const pair *a, const pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static lcf_status push_pair(encoder *e, pair p)
{
    size_t at = e->heap_n;
    lcf_status status =
        lcf_grow((void **)&e->heap, &e->heap_capacity, e->heap_n + 1, sizeof(*e->heap));

    if (status)
        return status;
    for (e->heap_n++; at && before(&p, &e->heap[(at - 1) / 2]); at = (at - 1) / 2)
        e->heap[at] = e->heap[(at - 1) / 2];
    e->heap[at] = p;
    return LCF_OK;
}

static pair pop_pair(encoder *e)
{
    pair top = e->heap[0], last = e->heap[--e->heap_n];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= e->heap_n)
            break;
        if (child + 1 < e->heap_n && before(&e->heap[child + 1], &e->heap[child]))
            child++;
        if (!before(&e->heap[child], &last))
            break;
        e->heap[at] = e->heap[child];
        at = child;
    }
    e->heap[at] = last;
    return top;
}

static lcf_status propose(encoder *e, int32_t left, int32_t right)
{
    const symbol *a, *b;
    uint32_t id;

    if (left < 0 || right < 0)
        return LCF_OK;
    a = &e->symbols[left];
    b = &e->symbols[right];
    if (a->literal || b->literal || a->len + b->len > e->t->piece_bytes_max)
        return LCF_OK;
    id = lcf_piece_map_get(&e->t->map, e->word + a->at, a->len + b->len);
    if (id == LCF_PIECE_NONE)
        return LCF_OK;
    return push_pair(e, (pair){e->t->scores[id], (uint32_t)left, (uint32_t)right, a->len + b->len});
}

static lcf_status merge(encoder *e, const pair *p)
{
    symbol *left = &e->symbols[p->left], *right = &e->symbols[p->right];
    lcf_status status;

    if (!left->len || !right->len || left->len + right->len != p->len)
        return LCF_OK; /* stale */
    left->len += right->len;
    right->len = 0;
    left->next = right->next;
    if (right->next >= 0)
        e->symbols[right->next].previous = (int32_t)p->left;
    status = propose(e, left->previous, (int32_t)p->left);
    return status ? status : propose(e, (int32_t)p->left, left->next);
}

static lcf_status emit(encoder *e, const symbol *s)
{
    const char *data = e->word + s->at;
    uint32_t id = s->literal ? LCF_PIECE_NONE : lcf_piece_map_get(&e->t->map, data, s->len);
    lcf_status status = LCF_OK;

    if (id != LCF_PIECE_NONE)
        return lcf_tokens_push(e->out, id);
    for (uint32_t i = 0; i < s->len && !status; i++) {
        id = e->t->byte_ids[(unsigned char)data[i]];
        if (id == LCF_PIECE_NONE) /* one unknown for the character */
            return lcf_tokens_push(e->out, e->t->unknown);
        status = lcf_tokens_push(e->out, id);
    }
    return status;
}

static lcf_status encode_word(encoder *e)
{
    lcf_status status = LCF_OK;

    e->heap_n = 0;
    for (size_t i = 1; i < e->symbols_n && !status; i++)
        status = propose(e, (int32_t)i - 1, (int32_t)i);
    while (e->heap_n && !status) {
        pair p = pop_pair(e);
        status = merge(e, &p);
    }
    for (size_t i = 0; i < e->symbols_n && !status; i++)
        if (e->symbols[i].len)
            status = emit(e, &e->symbols[i]);
    e->symbols_n = e->word_n = 0;
    return status;
}

/* Appends one character to the word. */
static lcf_status add_symbol(encoder *e, const char *data, size_t len, bool literal)
{
    lcf_status status =
        lcf_grow((void **)&e->word, &e->word_capacity, e->word_n + len, sizeof(*e->word));
    int32_t idx = (int32_t)e->symbols_n;

    if (!status)
        status = lcf_grow((void **)&e->symbols, &e->symbols_capacity, e->symbols_n + 1,
                          sizeof(*e->symbols));
    if (status)
        return status;
    memcpy(e->word + e->word_n, data, len);
    e->symbols[idx] = (symbol){(uint32_t)e->word_n, (uint32_t)len, idx - 1, -1, literal};
    if (idx)
        e->symbols[idx - 1].next = idx;
    e->word_n += len;
    e->symbols_n++;
    return LCF_OK;
}

/* A space ends the word before it, unless some piece spans this very boundary. */
static lcf_status add_space(encoder *e)
{
    lcf_status status = LCF_OK;

    if (e->word_n && !e->t->joins[(unsigned char)e->word[e->word_n - 1]])
        status = encode_word(e);
    return status ? status : add_symbol(e, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES, false);
}

static lcf_status encode_text(encoder *e, const char *text, size_t len)
{
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < len && !status;) {
        size_t n = lcf_char_bytes(text + at, len - at);
        if (text[at] == ' ')
            status = add_space(e);
        else
            status = add_symbol(e, text + at, n,
                                n == LCF_SPACE_MARK_BYTES && !memcmp(text + at, LCF_SPACE_MARK, n));
        at += n;
    }
    return status ? status : encode_word(e);
}

lcf_status lcf_tokenizer_encode(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                                size_t len, bool add_prefix_space, lcf_err *err)
{
    encoder e = {.t = t, .out = out};
    size_t before_n = out->n;
    lcf_status status = LCF_OK;

    if (len > INT32_MAX / 4)
        return LCF_FAIL(err, LCF_ELIMIT, "text of %zu bytes; at most %d can be encoded at once",
                        len, INT32_MAX / 4);
    if (len && add_prefix_space && t->adds_prefix_space)
        status = add_space(&e);
    if (!status)
        status = encode_text(&e, text, len);
    if (status) {
        out->n = before_n;
        status = LCF_FAIL(err, status, "encoding a text of %zu bytes", len);
    }
    free(e.word);
    free(e.symbols);
    free(e.heap);
    return status;
}
