/*
 * Encoding by merging: the symbols of a word (characters for SPM, bytes for BPE) are merged
 * pairwise, always the adjacent pair of the best order, the leftmost of equals, until none can be.
 * The order is the score of the piece that a pair spells (SPM), or the rank of the merge (BPE).
 *
 * SPM: no piece of an ordinary vocabulary has a space mark behind another character, so the text
 * falls into independent words there, and the queue of pairs stays small. A U+2581 in the text
 * itself is spelled in bytes: it is no space, and must come back as what it was. BPE: the
 * pre-tokenizer makes the words.
 *
 * source   Kudo and Richardson 2018 (SentencePiece), Sennrich et al. 2016 (BPE), Radford et al.
 * 2019 (bytes); as in GGUF's `llama` and `gpt2`
 */
#include "common/base/mem.h"
#include "common/math/half.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdlib.h>
#include <string.h>

typedef struct symbol { /* a run of characters of the word; len 0 once merged into its left one */
    uint32_t at, len;
    uint32_t id;            /* LCF_PIECE_NONE: no piece */
    int32_t previous, next; /* -1 at the ends */
    bool literal;           /* a U+2581 of the text: takes part in no merge */
} symbol;

typedef struct pair { /* a possible merge; stale when a length has changed since */
    uint64_t order;   /* rank or score, then the position: the least first */
    uint32_t left, right, len, made;
} pair;

typedef struct encoder {
    const lcf_tokenizer *t;
    lcf_tokens *out;
    char *word; /* SPM: the characters, spaces replaced by space marks */
    size_t word_n, word_capacity;
    symbol *symbols;
    size_t symbols_n, symbols_capacity;
    pair *heap;
    size_t heap_n, heap_capacity;
} encoder;

static lcf_status push_pair(encoder *e, pair p)
{
    size_t at = e->heap_n;
    lcf_status status =
        lcf_grow((void **)&e->heap, &e->heap_capacity, e->heap_n + 1, sizeof(*e->heap));

    if (status)
        return status;
    for (e->heap_n++; at && p.order < e->heap[(at - 1) / 2].order; at = (at - 1) / 2)
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
        if (child + 1 < e->heap_n && e->heap[child + 1].order < e->heap[child].order)
            child++;
        if (e->heap[child].order >= last.order)
            break;
        e->heap[at] = e->heap[child];
        at = child;
    }
    e->heap[at] = last;
    return top;
}

/* Floats as integers that sort the other way round: high scores are low. */
static uint32_t order_of_score(float score)
{
    uint32_t bits = lcf_bits_of_float(score + 0.f); /* -0 is 0 */

    return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}

/* The piece that two symbols make and the order of doing so; LCF_PIECE_NONE when they do not. */
static uint32_t made_of(uint32_t *order, const encoder *e, const symbol *a, const symbol *b)
{
    uint32_t id;

    if (e->t->kind == LCF_TOKENIZER_BPE) {
        const lcf_merge *m = lcf_merge_slot(e->t, a->id, b->id);
        *order = m->rank;
        return m->left == LCF_PIECE_NONE ? LCF_PIECE_NONE : m->made;
    }
    if (a->literal || b->literal || a->len + b->len > e->t->piece_bytes_max)
        return LCF_PIECE_NONE;
    id = lcf_piece_map_get(&e->t->map, e->word + a->at, a->len + b->len);
    if (id != LCF_PIECE_NONE)
        *order = order_of_score(e->t->scores[id]);
    return id;
}

static lcf_status propose(encoder *e, int32_t left, int32_t right)
{
    const symbol *a, *b;
    uint32_t made, order = 0;

    if (left < 0 || right < 0)
        return LCF_OK;
    a = &e->symbols[left];
    b = &e->symbols[right];
    made = made_of(&order, e, a, b);
    if (made == LCF_PIECE_NONE)
        return LCF_OK;
    return push_pair(e, (pair){(uint64_t)order << 32 | (uint32_t)left, (uint32_t)left,
                               (uint32_t)right, a->len + b->len, made});
}

static lcf_status merge(encoder *e, const pair *p)
{
    symbol *left = &e->symbols[p->left], *right = &e->symbols[p->right];
    lcf_status status;

    if (!left->len || !right->len || left->len + right->len != p->len)
        return LCF_OK; /* stale */
    left->len += right->len;
    left->id = p->made;
    right->len = 0;
    left->next = right->next;
    if (right->next >= 0)
        e->symbols[right->next].previous = (int32_t)p->left;
    status = propose(e, left->previous, (int32_t)p->left);
    return status ? status : propose(e, (int32_t)p->left, left->next);
}

static lcf_status emit(encoder *e, const symbol *s)
{
    lcf_status status = LCF_OK;

    if (s->id != LCF_PIECE_NONE)
        return lcf_tokens_push(e->out, s->id);
    for (uint32_t i = 0; i < s->len && !status; i++) {
        uint32_t id = e->t->byte_ids[(unsigned char)e->word[s->at + i]];
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

static lcf_status add_symbol(encoder *e, uint32_t id, size_t len, bool literal)
{
    int32_t idx = (int32_t)e->symbols_n;
    lcf_status status =
        lcf_grow((void **)&e->symbols, &e->symbols_capacity, e->symbols_n + 1, sizeof(*e->symbols));

    if (status)
        return status;
    e->symbols[idx] = (symbol){(uint32_t)e->word_n, (uint32_t)len, id, idx - 1, -1, literal};
    if (idx)
        e->symbols[idx - 1].next = idx;
    e->word_n += len;
    e->symbols_n++;
    return LCF_OK;
}

/* ---- SPM ---------------------------------------------------------------------------------- */

static lcf_status add_char(encoder *e, const char *data, size_t len, bool literal)
{
    lcf_status status =
        lcf_grow((void **)&e->word, &e->word_capacity, e->word_n + len, sizeof(*e->word));

    if (status)
        return status;
    memcpy(e->word + e->word_n, data, len);
    return add_symbol(e, literal ? LCF_PIECE_NONE : lcf_piece_map_get(&e->t->map, data, len), len,
                      literal);
}

/* A space ends the word before it, unless some piece spans this very boundary. */
static lcf_status add_space(encoder *e)
{
    lcf_status status = LCF_OK;

    if (e->word_n && !e->t->joins[(unsigned char)e->word[e->word_n - 1]])
        status = encode_word(e);
    return status ? status : add_char(e, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES, false);
}

static lcf_status encode_spm(encoder *e, const char *text, size_t len)
{
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < len && !status;) {
        size_t n = lcf_char_bytes(text + at, len - at);
        if (text[at] == ' ')
            status = add_space(e);
        else
            status = add_char(e, text + at, n,
                              n == LCF_SPACE_MARK_BYTES && !memcmp(text + at, LCF_SPACE_MARK, n));
        at += n;
    }
    return status ? status : encode_word(e);
}

/* ---- BPE ---------------------------------------------------------------------------------- */

static lcf_status encode_bpe(encoder *e, const char *text, size_t len)
{
    lcf_status status = LCF_OK;

    for (size_t at = 0, n; at < len && !status; at += n) {
        uint32_t whole;
        n = lcf_pretoken_bytes(e->t->pre, text + at, len - at);
        whole = e->t->whole_words ? lcf_piece_map_get(&e->t->map, text + at, n) : LCF_PIECE_NONE;
        if (whole != LCF_PIECE_NONE) {
            status = lcf_tokens_push(e->out, whole);
            continue;
        }
        for (size_t i = 0; i < n && !status; i++)
            status = add_symbol(e, e->t->byte_ids[(unsigned char)text[at + i]], 1, false);
        if (!status)
            status = encode_word(e);
    }
    return status;
}

/* ---- all ---------------------------------------------------------------------------------- */

/* Text without user-defined pieces. */
static lcf_status encode_plain(encoder *e, const char *text, size_t len, bool prefix)
{
    lcf_status status = LCF_OK;

    if (!len)
        return LCF_OK;
    if (e->t->kind == LCF_TOKENIZER_BPE)
        return encode_bpe(e, text, len);
    if (e->t->kind == LCF_TOKENIZER_WORDPIECE)
        return lcf_encode_wordpiece(e->out, e->t, text, len);
    if (prefix && e->t->adds_prefix_space)
        status = add_space(e);
    return status ? status : encode_spm(e, text, len);
}

/* The first user-defined piece of [low, high) whose byte at `at` is `byte` or more; all are longer
 * than `at` and alike before it. */
static size_t user_bound(const lcf_tokenizer *t, size_t low, size_t high, size_t at, int byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)t->spellings[t->users[middle]].data[at] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * The longest user-defined piece at the start of a text: its bytes, 0 for none. Byte by byte the
 * pieces that begin with the text get fewer, so that it costs what there is in common, not the
 * length of the longest piece.
 */
static size_t user_piece(uint32_t *id, const lcf_tokenizer *t, const char *text, size_t len)
{
    size_t low = 0, high = t->users_n, best = 0;

    if (!t->user_begins[(unsigned char)*text])
        return 0;
    for (size_t at = 0; low < high; at++) {
        if (at && t->spellings[t->users[low]].len == at) {
            best = at;
            *id = t->users[low];
        }
        while (low < high && t->spellings[t->users[low]].len == at)
            low++;
        if (at == len)
            break;
        low = user_bound(t, low, high, at, (unsigned char)text[at]);
        high = user_bound(t, low, high, at, (unsigned char)text[at] + 1);
    }
    return best;
}

static lcf_status encode_text(encoder *e, const char *text, size_t len, bool prefix)
{
    size_t from = 0, n;
    uint32_t id = 0;
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < len && !status && e->t->users_n; at += n ? n : 1) {
        n = user_piece(&id, e->t, text + at, len - at);
        if (!n)
            continue;
        status = encode_plain(e, text + from, at - from, prefix && !from);
        if (!status)
            status = lcf_tokens_push(e->out, id);
        from = at + n;
    }
    return status ? status : encode_plain(e, text + from, len - from, prefix && !from);
}

lcf_status lcf_tokenizer_encode(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                                size_t len, bool add_prefix_space, lcf_err *err)
{
    encoder e = {.t = t, .out = out};
    size_t before_n = out->n;
    lcf_status status;

    if (len > INT32_MAX / 4)
        return LCF_FAIL(err, LCF_ELIMIT, "text of %zu bytes; at most %d can be encoded at once",
                        len, INT32_MAX / 4);
    status = encode_text(&e, text, len, add_prefix_space);
    if (status) {
        out->n = before_n;
        status = LCF_FAIL(err, status, "encoding a text of %zu bytes", len);
    }
    free(e.word);
    free(e.symbols);
    free(e.heap);
    return status;
}
