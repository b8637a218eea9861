/*
 * Learning a vocabulary: byte-pair merging over the distinct words of a set of texts.
 *
 * A candidate is a string that two adjacent symbols of some word spell; its count is the number of
 * places, over all words times their frequency, where they do. The best candidate becomes a piece
 * and is merged everywhere, leftmost first, and every merge is followed by those that pieces known
 * before make possible next to it. So a word is at all times segmented exactly as the encoder
 * would segment it with the pieces known so far: that is the invariant, and why encoding reproduces
 * the merges.
 *
 * source   Sennrich et al. 2016 (byte-pair merging); heap of counts and lists of places instead of
 *          recounting
 */
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPECIALS_N = 3,
    BASE_N = SPECIALS_N + 256,
    PIECE_BYTES_MAX = 48,
    COUNT_MIN = 2, /* a pair seen once teaches nothing */
};

typedef struct span { /* a symbol of a word */
    uint16_t at, len;
    uint32_t candidate; /* spelled by this symbol and the next; LCF_PIECE_NONE when there is none */
} span;

typedef struct word {
    lcf_str text; /* with the space mark */
    uint64_t count;
    span *spans; /* in trainer.spans */
    uint32_t spans_n;
} word;

typedef struct candidate {
    lcf_str text; /* in some word */
    uint64_t count;
    uint64_t queued; /* the largest count it has in the heap: never below `count` between merges */
    uint32_t piece;  /* its rank once it is one, else LCF_PIECE_NONE */
    bool grown;      /* listed in trainer.grown */
    uint32_t *words;
    size_t words_n, words_capacity;
} candidate;

typedef struct ranked { /* heap entry; the count may have changed since */
    uint64_t count;
    uint32_t candidate;
} ranked;

typedef struct trainer {
    lcf_arena *text; /* words */
    word *words;
    size_t words_n, words_capacity;
    lcf_piece_map word_map, candidate_map, char_map;
    span *spans;
    candidate *candidates;
    size_t candidates_n, candidates_capacity;
    ranked *heap;
    size_t heap_n, heap_capacity;
    uint32_t *grown; /* candidates whose count may exceed what the heap knows */
    size_t grown_n, grown_capacity;
    lcf_str *chars; /* distinct characters in the order of first occurrence, then by count */
    uint64_t *char_counts;
    size_t chars_n, chars_capacity, char_counts_capacity;
    lcf_str *pieces; /* characters kept, then merged pieces */
    size_t pieces_n, pieces_max;
} trainer;

/* --- words --------------------------------------------------------------------------------- */

typedef enum char_class { CLASS_LETTER, CLASS_DIGIT, CLASS_SIGN, CLASS_ALONE } char_class;

/* Pieces do not mix classes; a control character, a broken byte and U+2581 stand alone. */
static char_class class_of(const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0];

    if (n > 1)
        return memcmp(s, LCF_SPACE_MARK, n) ? CLASS_LETTER : CLASS_ALONE;
    if (c <= ' ' || c >= 0x7f)
        return CLASS_ALONE;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return CLASS_LETTER;
    return c >= '0' && c <= '9' ? CLASS_DIGIT : CLASS_SIGN;
}

static lcf_status add_word(trainer *t, const char *text, size_t len)
{
    uint32_t idx = lcf_piece_map_get(&t->word_map, text, len);
    lcf_status status;
    char *copy;

    if (idx != LCF_PIECE_NONE) {
        t->words[idx].count++;
        return LCF_OK;
    }
    status = lcf_grow((void **)&t->words, &t->words_capacity, t->words_n + 1, sizeof(*t->words));
    if (status)
        return status;
    copy = lcf_arena_alloc(t->text, len, 1);
    if (!copy)
        return LCF_ENOMEM;
    memcpy(copy, text, len);
    t->words[t->words_n] = (word){{copy, len}, 1, NULL, 0};
    return lcf_piece_map_add(&t->word_map, copy, len, (uint32_t)t->words_n++);
}

/* The word at text[0..], as encoding meets it: its bytes in text are returned in *used. */
static lcf_status take_word(trainer *t, size_t *used, const char *text, size_t len, bool prefix)
{
    char spelled[PIECE_BYTES_MAX + 4];
    size_t at = 0, n = 0;
    char_class first;

    if (prefix) {
        memcpy(spelled, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES);
        n = LCF_SPACE_MARK_BYTES;
    }
    first = len ? class_of(text, lcf_char_bytes(text, len)) : CLASS_ALONE;
    while (at < len && first != CLASS_ALONE) {
        size_t c = lcf_char_bytes(text + at, len - at);
        if (n + c > PIECE_BYTES_MAX || class_of(text + at, c) != first)
            break;
        memcpy(spelled + n, text + at, c);
        n += c;
        at += c;
    }
    *used = at;
    return n ? add_word(t, spelled, n) : LCF_OK;
}

static lcf_status take_words(trainer *t, lcf_str text)
{
    bool prefix = true; /* a text begins with a space mark */
    size_t at = 0, used;
    lcf_status status = LCF_OK;

    while (at < text.len && !status) {
        if (text.data[at] == ' ' && !prefix) {
            prefix = true;
            at++;
            continue;
        }
        status = take_word(t, &used, text.data + at, text.len - at, prefix);
        prefix = false;
        at += used;
        if (!used && text.data[at] != ' ')
            at += lcf_char_bytes(text.data + at, text.len - at);
    }
    return status;
}

/* --- characters ---------------------------------------------------------------------------- */

static lcf_status count_char(trainer *t, const char *s, size_t n, uint64_t count)
{
    uint32_t idx = lcf_piece_map_get(&t->char_map, s, n);
    lcf_status status;

    if (idx != LCF_PIECE_NONE) {
        t->char_counts[idx] += count;
        return LCF_OK;
    }
    status = lcf_grow((void **)&t->chars, &t->chars_capacity, t->chars_n + 1, sizeof(*t->chars));
    if (!status)
        status = lcf_grow((void **)&t->char_counts, &t->char_counts_capacity, t->chars_n + 1,
                          sizeof(*t->char_counts));
    if (status)
        return status;
    t->chars[t->chars_n] = (lcf_str){s, n};
    t->char_counts[t->chars_n] = count;
    return lcf_piece_map_add(&t->char_map, s, n, (uint32_t)t->chars_n++);
}

static lcf_status count_chars(trainer *t)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < t->words_n && !status; i++) {
        lcf_str text = t->words[i].text;
        for (size_t at = 0, n; at < text.len && !status; at += n) {
            n = lcf_char_bytes(text.data + at, text.len - at);
            status = count_char(t, text.data + at, n, t->words[i].count);
        }
    }
    return status;
}

static int by_count(const void *a, const void *b, void *arg)
{
    const uint64_t *counts = arg;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

    if (counts[i] != counts[j])
        return counts[i] > counts[j] ? -1 : 1;
    return i < j ? -1 : 1;
}

/*
 * Characters that become pieces: ASCII, and the most frequent others until all but 1 in 2,000 of
 * the text's characters are covered; at most a third of the room. The rest is left to bytes and
 * takes part in no merge.
 */
static lcf_status keep_chars(trainer *t)
{
    uint64_t total = 0, covered = 0;
    uint32_t *order = lcf_alloc(t->chars_n + 1, sizeof(*order));
    lcf_status status = LCF_OK;

    if (!order)
        return LCF_ENOMEM;
    for (uint32_t i = 0; i < t->chars_n; i++) {
        order[i] = i;
        total += t->char_counts[i];
    }
    qsort_r(order, t->chars_n, sizeof(*order), by_count, t->char_counts);
    lcf_piece_map_dispose(&t->char_map); /* from here on: the characters kept */
    status = lcf_piece_map_init(&t->char_map, t->chars_n);
    for (size_t i = 0; i < t->chars_n && !status; i++) {
        lcf_str c = t->chars[order[i]];
        if (t->pieces_n >= t->pieces_max / 3)
            break;
        if (c.len > 1 && covered >= total - total / 2000)
            continue;
        covered += t->char_counts[order[i]];
        t->pieces[t->pieces_n] = c;
        status = lcf_piece_map_add(&t->char_map, c.data, c.len, (uint32_t)t->pieces_n++);
    }
    free(order);
    return status;
}

/* --- candidates ---------------------------------------------------------------------------- */

static bool ranked_before(ranked a, ranked b)
{
    return a.count > b.count || (a.count == b.count && a.candidate < b.candidate);
}

static lcf_status push_ranked(trainer *t, uint32_t idx)
{
    ranked r = {t->candidates[idx].count, idx};
    size_t at = t->heap_n;
    lcf_status status =
        lcf_grow((void **)&t->heap, &t->heap_capacity, t->heap_n + 1, sizeof(*t->heap));

    if (status)
        return status;
    t->candidates[idx].queued = r.count;
    for (t->heap_n++; at && ranked_before(r, t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = r;
    return LCF_OK;
}

static ranked pop_ranked(trainer *t)
{
    ranked top = t->heap[0], last = t->heap[--t->heap_n];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->heap_n)
            break;
        if (child + 1 < t->heap_n && ranked_before(t->heap[child + 1], t->heap[child]))
            child++;
        if (!ranked_before(t->heap[child], last))
            break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = last;
    return top;
}

/* The candidate of a string, made when it is new. */
static lcf_status find_candidate(trainer *t, uint32_t *idx, lcf_str text)
{
    lcf_status status;

    *idx = lcf_piece_map_get(&t->candidate_map, text.data, text.len);
    if (*idx != LCF_PIECE_NONE)
        return LCF_OK;
    status = lcf_grow((void **)&t->candidates, &t->candidates_capacity, t->candidates_n + 1,
                      sizeof(*t->candidates));
    if (status)
        return status;
    *idx = (uint32_t)t->candidates_n++;
    t->candidates[*idx] = (candidate){.text = text, .piece = LCF_PIECE_NONE};
    return lcf_piece_map_add(&t->candidate_map, text.data, text.len, *idx);
}

static lcf_status note_grown(trainer *t, uint32_t idx)
{
    candidate *c = &t->candidates[idx];
    lcf_status status;

    if (c->grown || c->count <= c->queued || c->piece != LCF_PIECE_NONE)
        return LCF_OK;
    status = lcf_grow((void **)&t->grown, &t->grown_capacity, t->grown_n + 1, sizeof(*t->grown));
    if (status)
        return status;
    c->grown = true;
    t->grown[t->grown_n++] = idx;
    return LCF_OK;
}

static lcf_status push_grown(trainer *t)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < t->grown_n && !status; i++) {
        candidate *c = &t->candidates[t->grown[i]];
        c->grown = false;
        if (c->count > c->queued)
            status = push_ranked(t, t->grown[i]);
    }
    t->grown_n = 0;
    return status;
}

/* Names what span i and the one after it spell, and counts it. */
static lcf_status link_span(trainer *t, uint32_t word_idx, uint32_t i)
{
    word *w = &t->words[word_idx];
    span *s = &w->spans[i];
    candidate *c;
    lcf_status status;

    s->candidate = LCF_PIECE_NONE;
    if (i + 1 >= w->spans_n || s->at + s->len != s[1].at)
        return LCF_OK; /* the last, or a character that is no piece lies between */
    status = find_candidate(t, &s->candidate,
                            (lcf_str){w->text.data + s->at, (size_t)s->len + s[1].len});
    if (status)
        return status;
    c = &t->candidates[s->candidate];
    c->count += w->count;
    status = note_grown(t, s->candidate);
    if (status)
        return status;
    if (c->piece != LCF_PIECE_NONE || (c->words_n && c->words[c->words_n - 1] == word_idx))
        return LCF_OK; /* merged at once, or known to be in this word */
    status = lcf_grow((void **)&c->words, &c->words_capacity, c->words_n + 1, sizeof(*c->words));
    if (!status)
        c->words[c->words_n++] = word_idx;
    return status;
}

static void unlink_span(trainer *t, const word *w, uint32_t i)
{
    if (w->spans[i].candidate != LCF_PIECE_NONE)
        t->candidates[w->spans[i].candidate].count -= w->count;
}

static lcf_status split_words(trainer *t)
{
    size_t bytes_n = 0;
    span *next;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < t->words_n; i++)
        bytes_n += t->words[i].text.len;
    t->spans = lcf_alloc(bytes_n + 1, sizeof(*t->spans));
    if (!t->spans)
        return LCF_ENOMEM;
    next = t->spans;
    for (uint32_t i = 0; i < t->words_n; i++) {
        word *w = &t->words[i];
        w->spans = next;
        for (size_t at = 0, n; at < w->text.len; at += n) {
            n = lcf_char_bytes(w->text.data + at, w->text.len - at);
            if (lcf_piece_map_get(&t->char_map, w->text.data + at, n) != LCF_PIECE_NONE)
                w->spans[w->spans_n++] = (span){(uint16_t)at, (uint16_t)n, LCF_PIECE_NONE};
        }
        next += w->spans_n;
    }
    for (uint32_t i = 0; i < t->words_n && !status; i++)
        for (uint32_t j = 0; j < t->words[i].spans_n && !status; j++)
            status = link_span(t, i, j);
    return status ? status : push_grown(t);
}

/* --- merging ------------------------------------------------------------------------------- */

/* Span i swallows the next one; its candidates to the left and right are new. */
static lcf_status merge_at(trainer *t, uint32_t word_idx, uint32_t i)
{
    word *w = &t->words[word_idx];
    lcf_status status;

    if (i)
        unlink_span(t, w, i - 1);
    unlink_span(t, w, i);
    unlink_span(t, w, i + 1);
    w->spans[i].len = (uint16_t)(w->spans[i].len + w->spans[i + 1].len);
    memmove(&w->spans[i + 1], &w->spans[i + 2], (w->spans_n - i - 2) * sizeof(*w->spans));
    w->spans_n--;
    status = i ? link_span(t, word_idx, i - 1) : LCF_OK;
    return status ? status : link_span(t, word_idx, i);
}

/* The pair that the encoder would merge next: the piece of the lowest rank, leftmost. */
static bool best_merge(const trainer *t, const word *w, uint32_t *at)
{
    uint32_t best = LCF_PIECE_NONE;

    for (uint32_t i = 0; i + 1 < w->spans_n; i++) {
        uint32_t c = w->spans[i].candidate;
        if (c != LCF_PIECE_NONE && t->candidates[c].piece < best) {
            best = t->candidates[c].piece;
            *at = i;
        }
    }
    return best != LCF_PIECE_NONE;
}

/* Makes the candidate a piece and brings every word that holds it up to date. */
static lcf_status merge_everywhere(trainer *t, uint32_t idx)
{
    uint32_t *words = t->candidates[idx].words, at = 0;
    size_t words_n = t->candidates[idx].words_n;
    lcf_status status = LCF_OK;

    t->candidates[idx].piece = (uint32_t)t->pieces_n;
    t->pieces[t->pieces_n++] = t->candidates[idx].text;
    t->candidates[idx].words = NULL;
    t->candidates[idx].words_n = t->candidates[idx].words_capacity = 0;
    for (size_t i = 0; i < words_n && !status; i++)
        while (!status && best_merge(t, &t->words[words[i]], &at))
            status = merge_at(t, words[i], at);
    free(words);
    return status ? status : push_grown(t);
}

static lcf_status learn_pieces(trainer *t)
{
    lcf_status status = LCF_OK;

    while (t->heap_n && t->pieces_n < t->pieces_max && !status) {
        ranked r = pop_ranked(t);
        const candidate *c = &t->candidates[r.candidate];
        if (c->count < COUNT_MIN || c->piece != LCF_PIECE_NONE)
            continue;
        status = c->count == r.count ? merge_everywhere(t, r.candidate)
                                     : push_ranked(t, r.candidate); /* it has changed since */
    }
    return status;
}

/* --- the vocabulary ------------------------------------------------------------------------ */

static lcf_status build(lcf_tokenizer **out, const trainer *t, lcf_err *err)
{
    static const char *const SPECIALS[SPECIALS_N] = {"<unk>", "<s>", "</s>"};
    size_t vocab_n = BASE_N + t->pieces_n;
    lcf_str *pieces = lcf_alloc(vocab_n, sizeof(*pieces));
    float *scores = lcf_alloc_zero(vocab_n, sizeof(*scores));
    int32_t *types = lcf_alloc(vocab_n, sizeof(*types));
    char bytes[256][8];
    lcf_vocab vocab;
    lcf_status status = LCF_ENOMEM;

    if (!pieces || !scores || !types) {
        LCF_FAIL(err, LCF_ENOMEM, "vocabulary of %zu pieces", vocab_n);
        goto done;
    }
    for (size_t i = 0; i < SPECIALS_N; i++) {
        pieces[i] = (lcf_str){SPECIALS[i], strlen(SPECIALS[i])};
        types[i] = i ? LCF_PIECE_CONTROL : LCF_PIECE_UNKNOWN;
    }
    for (size_t i = 0; i < 256; i++) {
        snprintf(bytes[i], sizeof(bytes[i]), "<0x%02X>", (unsigned)i);
        pieces[SPECIALS_N + i] = (lcf_str){bytes[i], 6};
        types[SPECIALS_N + i] = LCF_PIECE_BYTE;
    }
    for (size_t i = 0; i < t->pieces_n; i++) {
        pieces[BASE_N + i] = t->pieces[i];
        scores[BASE_N + i] = -(float)i;
        types[BASE_N + i] = LCF_PIECE_NORMAL;
    }
    vocab = (lcf_vocab){.kind = LCF_TOKENIZER_SPM,
                        .n = vocab_n,
                        .pieces = pieces,
                        .scores = scores,
                        .types = types};
    status = lcf_tokenizer_create(out, &vocab, "trained vocabulary", err);
    if (!status) {
        (*out)->bos = 1;
        (*out)->eos = 2;
    }
done:
    free(pieces);
    free(scores);
    free(types);
    return status;
}

static lcf_status init_trainer(trainer *t, size_t vocab_n)
{
    lcf_status status = lcf_arena_create(&t->text, 1 << 20);

    t->pieces_max = vocab_n - BASE_N;
    t->pieces = lcf_alloc(t->pieces_max + 1, sizeof(*t->pieces));
    if (!status && !t->pieces)
        status = LCF_ENOMEM;
    if (!status)
        status = lcf_piece_map_init(&t->word_map, 1024);
    if (!status)
        status = lcf_piece_map_init(&t->char_map, 256);
    if (!status)
        status = lcf_piece_map_init(&t->candidate_map, 4096);
    return status;
}

static void dispose_trainer(trainer *t)
{
    for (size_t i = 0; i < t->candidates_n; i++)
        free(t->candidates[i].words);
    lcf_piece_map_dispose(&t->word_map);
    lcf_piece_map_dispose(&t->char_map);
    lcf_piece_map_dispose(&t->candidate_map);
    free(t->words);
    free(t->spans);
    free(t->candidates);
    free(t->heap);
    free(t->grown);
    free(t->chars);
    free(t->char_counts);
    free(t->pieces);
    lcf_arena_free(t->text);
}

lcf_status lcf_tokenizer_train(lcf_tokenizer **out, const lcf_str *texts, size_t texts_n,
                               size_t vocab_n, lcf_err *err)
{
    trainer t = {0};
    lcf_status status;

    *out = NULL;
    if (vocab_n < BASE_N || vocab_n > LCF_VOCAB_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "a vocabulary of %zu pieces; %d to %d are possible",
                        vocab_n, BASE_N, LCF_VOCAB_MAX);
    status = init_trainer(&t, vocab_n);
    for (size_t i = 0; i < texts_n && !status; i++)
        status = take_words(&t, texts[i]);
    if (!status)
        status = count_chars(&t);
    if (!status)
        status = keep_chars(&t);
    if (!status)
        status = split_words(&t);
    if (!status)
        status = learn_pieces(&t);
    if (status)
        LCF_FAIL(err, status, "learning a vocabulary from %zu texts", texts_n);
    else
        status = build(out, &t, err);
    dispose_trainer(&t);
    return status;
}
