/*
 * Tokenizer: the vocabulary, and decoding. Reading it from a GGUF and writing it there is in
 * tokenizer_gguf.c, encoding in tokenizer_encode.c and tokenizer_wordpiece.c, learning a vocabulary
 * in tokenizer_train.c.
 *
 * Every piece is held twice, as the file has it and as it is spelled: " the", where the file has
 * the space mark or the byte alphabet. Decoding is then nothing but concatenation.
 */
#include "offline/llama/tokenizer.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include <stdlib.h>
#include <string.h>

void lcf_tokens_dispose(lcf_tokens *t)
{
    free(t->ids);
    *t = (lcf_tokens)LCF_TOKENS_INIT;
}

lcf_status lcf_tokens_push(lcf_tokens *t, uint32_t id)
{
    lcf_status status = lcf_grow((void **)&t->ids, &t->capacity, t->n + 1, sizeof(*t->ids));

    if (!status)
        t->ids[t->n++] = id;
    return status;
}

lcf_status lcf_piece_map_init(lcf_piece_map *map, size_t n)
{
    size_t slots_n = 16;

    while (slots_n < 2 * n)
        slots_n *= 2;
    map->slots = lcf_alloc_zero(slots_n, sizeof(*map->slots));
    map->mask = slots_n - 1;
    map->n = 0;
    return map->slots ? LCF_OK : LCF_ENOMEM;
}

void lcf_piece_map_dispose(lcf_piece_map *map)
{
    free(map->slots);
    *map = (lcf_piece_map){NULL, 0, 0};
}

/* The slot of a string, or the empty one where it belongs. */
static struct lcf_piece_slot *find_slot(const lcf_piece_map *map, const char *data, size_t len)
{
    size_t at = (size_t)lcf_hash64(data, len, 0) & map->mask;

    for (;; at = (at + 1) & map->mask) {
        struct lcf_piece_slot *slot = &map->slots[at];
        if (!slot->data || (slot->len == len && !memcmp(slot->data, data, len)))
            return slot;
    }
}

uint32_t lcf_piece_map_get(const lcf_piece_map *map, const char *data, size_t len)
{
    const struct lcf_piece_slot *slot = find_slot(map, data, len);

    return slot->data ? slot->value : LCF_PIECE_NONE;
}

static lcf_status grow_map(lcf_piece_map *map)
{
    lcf_piece_map larger = {NULL, 0, 0};
    lcf_status status = lcf_piece_map_init(&larger, map->mask + 1);

    if (status)
        return status;
    for (size_t i = 0; i <= map->mask; i++)
        if (map->slots[i].data)
            *find_slot(&larger, map->slots[i].data, map->slots[i].len) = map->slots[i];
    larger.n = map->n;
    lcf_piece_map_dispose(map);
    *map = larger;
    return LCF_OK;
}

lcf_status lcf_piece_map_add(lcf_piece_map *map, const char *data, size_t len, uint32_t value)
{
    struct lcf_piece_slot *slot;
    lcf_status status;

    if (2 * (map->n + 1) > map->mask + 1) {
        status = grow_map(map);
        if (status)
            return status;
    }
    slot = find_slot(map, data, len);
    if (slot->data)
        return LCF_OK;
    *slot = (struct lcf_piece_slot){data, (uint32_t)len, value};
    map->n++;
    return LCF_OK;
}

/* ---- spelling ----------------------------------------------------------------------------- */

/* Bytes that are printable in Latin-1 stand for themselves; the others, 0..32, 127..160 and 173,
 * are U+0100 and what follows. */
static uint32_t char_of_byte(uint32_t b)
{
    if (b <= 32)
        return 256 + b;
    if (b >= 127 && b <= 160)
        return 256 + 33 + b - 127;
    return b == 173 ? 256 + 33 + 34 : b;
}

/* -1: no character of the alphabet */
static int byte_of_char(uint32_t c)
{
    if (c < 256)
        return char_of_byte(c) == c ? (int)c : -1;
    c -= 256;
    if (c < 33)
        return (int)c;
    if (c < 33 + 34)
        return (int)c - 33 + 127;
    return c == 33 + 34 ? 173 : -1;
}

size_t lcf_byte_alphabet_decode(char *out, lcf_str piece)
{
    size_t n = 0;

    for (size_t at = 0, len; at < piece.len; at += len) {
        uint32_t c;
        int byte;
        len = lcf_char_read(&c, piece.data + at, piece.len - at);
        byte = byte_of_char(c);
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            memmove(out + n, piece.data + at, len);
            n += len;
        }
    }
    return n;
}

void lcf_byte_alphabet_encode(lcf_buf *out, lcf_str bytes)
{
    char one[4];

    for (size_t i = 0; i < bytes.len; i++)
        lcf_buf_append(out, one, lcf_char_write(one, char_of_byte((unsigned char)bytes.data[i])));
}

static size_t spell_marks(char *out, lcf_str piece)
{
    size_t n = 0;

    for (size_t at = 0; at < piece.len;) {
        if (piece.len - at >= LCF_SPACE_MARK_BYTES &&
            !memcmp(piece.data + at, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES)) {
            out[n++] = ' ';
            at += LCF_SPACE_MARK_BYTES;
        } else {
            out[n++] = piece.data[at++];
        }
    }
    return n;
}

/* "<0xHH>" to the byte, or -1. */
static int byte_of_piece(lcf_str piece)
{
    int value = 0;

    if (piece.len != 6 || memcmp(piece.data, "<0x", 3) || piece.data[5] != '>')
        return -1;
    for (size_t i = 3; i < 5; i++) {
        char c = piece.data[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (c >= 'A' && c <= 'F')
            value = value * 16 + (c - 'A' + 10);
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* The spelling of a piece into out [piece.len]; returns its bytes. */
static size_t spell(char *out, const lcf_tokenizer *t, uint32_t id)
{
    lcf_str piece = t->pieces[id];

    switch (t->types[id]) {
    case LCF_PIECE_BYTE:
        out[0] = (char)byte_of_piece(piece); /* checked before */
        return 1;
    case LCF_PIECE_NORMAL:
        return t->kind == LCF_TOKENIZER_BPE ? lcf_byte_alphabet_decode(out, piece)
                                            : spell_marks(out, piece);
    case LCF_PIECE_USER:
        if (t->kind != LCF_TOKENIZER_BPE)
            return spell_marks(out, piece);
        if (piece.len)
            memcpy(out, piece.data, piece.len);
        return piece.len;
    default:
        return 0;
    }
}

/* ---- creation ----------------------------------------------------------------------------- */

static void note_joins(lcf_tokenizer *t, lcf_str piece)
{
    for (size_t i = 1; i + LCF_SPACE_MARK_BYTES <= piece.len; i++)
        if (!memcmp(piece.data + i, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES))
            t->joins[(unsigned char)piece.data[i - 1]] = true;
}

/* "<|im_end|>", "[/INST]", "</s>": what a chat's text must not be able to say by spelling it. */
static bool is_marker(lcf_str piece)
{
    static const char *const MARKERS[] = {"[INST]", "[/INST]", "<<SYS>>",         "<</SYS>>",
                                          "<s>",    "</s>",    "<start_of_turn>", "<end_of_turn>"};

    for (size_t i = 0; i < sizeof(MARKERS) / sizeof(*MARKERS); i++)
        if (strlen(MARKERS[i]) == piece.len && !memcmp(MARKERS[i], piece.data, piece.len))
            return true;
    return piece.len > 4 && !memcmp(piece.data, "<|", 2) &&
           !memcmp(piece.data + piece.len - 2, "|>", 2);
}

/* Into the maps: pieces that text can become, and those with a name. */
static lcf_status index_text(lcf_tokenizer *t, uint32_t id)
{
    lcf_str piece = t->pieces[id], spelled = t->spellings[id];
    lcf_status status = LCF_OK;

    if (t->types[id] == LCF_PIECE_NORMAL && piece.len) {
        if (t->kind == LCF_TOKENIZER_BPE) {
            if (spelled.len == 1 && t->byte_ids[(unsigned char)*spelled.data] == LCF_PIECE_NONE)
                t->byte_ids[(unsigned char)*spelled.data] = id;
            return lcf_piece_map_add(&t->map, spelled.data, spelled.len, id);
        }
        if (piece.len > t->piece_bytes_max)
            t->piece_bytes_max = piece.len;
        note_joins(t, piece);
        return lcf_piece_map_add(&t->map, piece.data, piece.len, id);
    }
    if (t->types[id] == LCF_PIECE_USER && spelled.len) {
        t->user_begins[(unsigned char)*spelled.data] = true;
        status =
            lcf_grow((void **)&t->users, &t->users_capacity, t->users_n + 1, sizeof(*t->users));
        if (!status)
            t->users[t->users_n++] = id;
    }
    if (!status && piece.len &&
        (t->types[id] == LCF_PIECE_USER || t->types[id] == LCF_PIECE_CONTROL))
        status = lcf_piece_map_add(&t->specials, piece.data, piece.len, id);
    return status;
}

static lcf_status index_piece(lcf_tokenizer *t, uint32_t id, const char *source, lcf_err *err)
{
    if (t->types[id] == LCF_PIECE_BYTE) {
        unsigned char byte = (unsigned char)*t->spellings[id].data;
        if (t->byte_ids[byte] == LCF_PIECE_NONE)
            t->byte_ids[byte] = id;
    } else if (t->types[id] == LCF_PIECE_UNKNOWN && t->unknown == LCF_PIECE_NONE) {
        t->unknown = id;
    } else if (index_text(t, id)) {
        return LCF_FAIL(err, LCF_ENOMEM, "%s: index of %zu pieces", source, t->vocab_n);
    }
    return LCF_OK;
}

static int by_spelling(const void *a, const void *b, void *arg)
{
    const lcf_tokenizer *t = arg;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    lcf_str x = t->spellings[i], y = t->spellings[j];
    int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);

    if (!order)
        order = (x.len > y.len) - (x.len < y.len);
    return order ? order : (i > j) - (i < j);
}

static lcf_status index_pieces(lcf_tokenizer *t, const char *source, lcf_err *err)
{
    lcf_status status = lcf_piece_map_init(&t->map, t->vocab_n);

    if (!status)
        status = lcf_piece_map_init(&t->specials, 0);
    if (status)
        return LCF_FAIL(err, status, "%s: index of %zu pieces", source, t->vocab_n);
    for (size_t i = 0; i < 256; i++)
        t->byte_ids[i] = LCF_PIECE_NONE;
    for (uint32_t id = 0; id < t->vocab_n && !status; id++)
        status = index_piece(t, id, source, err);
    if (t->users_n)
        qsort_r(t->users, t->users_n, sizeof(*t->users), by_spelling, t);
    if (status || t->kind == LCF_TOKENIZER_WORDPIECE) /* its unknown piece is named by a key */
        return status;
    for (size_t i = 0; i < 256; i++)
        if (t->byte_ids[i] == LCF_PIECE_NONE &&
            (t->kind == LCF_TOKENIZER_BPE || t->unknown == LCF_PIECE_NONE))
            return LCF_FAIL(err, LCF_EFORMAT, "%s: no piece for byte %zu%s", source, i,
                            t->kind == LCF_TOKENIZER_SPM ? " and no unknown piece" : "");
    return LCF_OK;
}

static lcf_status copy_pieces(lcf_tokenizer *t, const lcf_vocab *v)
{
    size_t bytes_n = 1, at = 0;

    for (size_t i = 0; i < t->vocab_n; i++)
        if (!lcf_add_size(&bytes_n, bytes_n, 2 * v->pieces[i].len))
            return LCF_ENOMEM;
    t->text = lcf_alloc(bytes_n, 1);
    t->pieces = lcf_alloc(t->vocab_n, sizeof(*t->pieces));
    t->spellings = lcf_alloc(t->vocab_n, sizeof(*t->spellings));
    t->scores = lcf_alloc_zero(t->vocab_n, sizeof(*t->scores));
    t->types = lcf_alloc(t->vocab_n, sizeof(*t->types));
    if (!t->text || !t->pieces || !t->spellings || !t->scores || !t->types)
        return LCF_ENOMEM;
    for (size_t i = 0; i < t->vocab_n; i++) {
        if (v->pieces[i].len)
            memcpy(t->text + at, v->pieces[i].data, v->pieces[i].len);
        t->pieces[i] = (lcf_str){t->text + at, v->pieces[i].len};
        at += v->pieces[i].len;
        t->types[i] = v->types ? v->types[i] : LCF_PIECE_NORMAL;
        if (t->types[i] == LCF_PIECE_USER && is_marker(t->pieces[i]))
            t->types[i] = LCF_PIECE_CONTROL;
        if (v->scores)
            t->scores[i] = v->scores[i];
    }
    return LCF_OK;
}

static lcf_status spell_pieces(lcf_tokenizer *t, const char *source, lcf_err *err)
{
    char *at = t->text;

    for (uint32_t id = 0; id < t->vocab_n; id++) {
        if (t->types[id] == LCF_PIECE_BYTE && byte_of_piece(t->pieces[id]) < 0)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: byte piece %u is not of the form <0xHH>", source,
                            id);
        at += t->pieces[id].len;
    }
    for (uint32_t id = 0; id < t->vocab_n; id++) {
        t->spellings[id] = (lcf_str){at, spell(at, t, id)};
        at += t->spellings[id].len;
    }
    return LCF_OK;
}

/* ---- merges ------------------------------------------------------------------------------- */

lcf_merge *lcf_merge_slot(const lcf_tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t key = (uint64_t)left << 32 | right;
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 24) & t->merges_mask;

    for (;; at = (at + 1) & t->merges_mask) {
        lcf_merge *slot = &t->merges[at];
        if (slot->left == LCF_PIECE_NONE || (slot->left == left && slot->right == right))
            return slot;
    }
}

/* The piece that text at `s` spells in the byte alphabet; `room` [len] is scratch. */
static uint32_t find_piece(const lcf_tokenizer *t, char *room, const char *s, size_t len)
{
    size_t n = lcf_byte_alphabet_decode(room, (lcf_str){s, len});

    return lcf_piece_map_get(&t->map, room, n);
}

static lcf_status add_merge(lcf_tokenizer *t, lcf_str text, uint32_t rank, lcf_buf *room,
                            const char *source, lcf_err *err)
{
    const char *gap = text.len > 1 ? memchr(text.data + 1, ' ', text.len - 1) : NULL;
    size_t left_n = gap ? (size_t)(gap - text.data) : 0;
    lcf_merge made = {LCF_PIECE_NONE, LCF_PIECE_NONE, LCF_PIECE_NONE, rank}, *slot;

    if (gap) {
        lcf_buf_reset(room);
        lcf_buf_append(room, text.data, text.len);
        if (room->status)
            return LCF_FAIL(err, LCF_ENOMEM, "%s: merge %u", source, rank);
        made.left = find_piece(t, room->data, text.data, left_n);
        made.right = find_piece(t, room->data, gap + 1, text.len - left_n - 1);
        memmove(room->data, text.data, left_n);
        memcpy(room->data + left_n, gap + 1, text.len - left_n - 1);
        room->data[text.len - 1] = 0;
        made.made = find_piece(t, room->data, room->data, text.len - 1);
    }
    if (made.left == LCF_PIECE_NONE || made.right == LCF_PIECE_NONE || made.made == LCF_PIECE_NONE)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: merge %u '%.*s' is not of two pieces that make one",
                        source, rank, (int)(text.len < 64 ? text.len : 64), text.data);
    slot = lcf_merge_slot(t, made.left, made.right);
    if (slot->left == LCF_PIECE_NONE) {
        *slot = made;
        t->merges_n++;
    }
    return LCF_OK;
}

static lcf_status index_merges(lcf_tokenizer *t, const lcf_vocab *v, const char *source,
                               lcf_err *err)
{
    lcf_buf room = LCF_BUF_INIT;
    size_t slots_n = 16;
    lcf_status status = LCF_OK;

    if (v->merges_n > LCF_VOCAB_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: %zu merges", source, v->merges_n);
    while (slots_n < v->merges_n + v->merges_n / 2)
        slots_n *= 2;
    t->merges_mask = slots_n - 1;
    t->merges = lcf_alloc(slots_n, sizeof(*t->merges));
    if (!t->merges)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: %zu merges", source, v->merges_n);
    for (size_t i = 0; i < slots_n; i++)
        t->merges[i].left = LCF_PIECE_NONE;
    for (size_t i = 0; i < v->merges_n && !status; i++)
        status = add_merge(t, v->merges[i], (uint32_t)i, &room, source, err);
    lcf_buf_dispose(&room);
    return status;
}

lcf_status lcf_tokenizer_create(lcf_tokenizer **out, const lcf_vocab *v, const char *source,
                                lcf_err *err)
{
    lcf_tokenizer *t = NULL;
    lcf_status status;

    *out = NULL;
    if (!v->n || v->n > LCF_VOCAB_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: vocabulary of %zu pieces; 1 to %d are possible",
                        source, v->n, LCF_VOCAB_MAX);
    t = lcf_alloc_zero(1, sizeof(*t));
    if (!t)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: tokenizer", source);
    t->kind = v->kind;
    t->vocab_n = v->n;
    t->pre = v->pre;
    t->whole_words = v->whole_words;
    t->bos = t->eos = t->unknown = LCF_PIECE_NONE;
    t->ends[0] = t->ends[1] = t->ends[2] = LCF_PIECE_NONE;
    t->adds_prefix_space = v->kind == LCF_TOKENIZER_SPM;
    t->adds_bos = v->kind != LCF_TOKENIZER_BPE;
    status = copy_pieces(t, v);
    if (status) {
        status = LCF_FAIL(err, status, "%s: vocabulary of %zu pieces", source, v->n);
        goto done;
    }
    status = spell_pieces(t, source, err);
    if (!status)
        status = index_pieces(t, source, err);
    if (!status && v->kind == LCF_TOKENIZER_BPE)
        status = index_merges(t, v, source, err);
    if (status)
        goto done;
    *out = t;
    t = NULL;
done:
    lcf_tokenizer_free(t);
    return status;
}

void lcf_tokenizer_free(lcf_tokenizer *t)
{
    if (!t)
        return;
    lcf_piece_map_dispose(&t->map);
    lcf_piece_map_dispose(&t->specials);
    free(t->users);
    free(t->text);
    free(t->pieces);
    free(t->spellings);
    free(t->scores);
    free(t->types);
    free(t->merges);
    free(t);
}

/* ---- use ---------------------------------------------------------------------------------- */

lcf_tokenizer_kind lcf_tokenizer_kind_of(const lcf_tokenizer *t)
{
    return t->kind;
}

size_t lcf_tokenizer_vocab_n(const lcf_tokenizer *t)
{
    return t->vocab_n;
}

uint32_t lcf_tokenizer_bos(const lcf_tokenizer *t)
{
    return t->bos;
}

uint32_t lcf_tokenizer_eos(const lcf_tokenizer *t)
{
    return t->eos;
}

bool lcf_tokenizer_is_end(const lcf_tokenizer *t, uint32_t id)
{
    return id == t->eos || id == t->ends[0] || id == t->ends[1] || id == t->ends[2];
}

bool lcf_tokenizer_adds_bos(const lcf_tokenizer *t)
{
    return t->adds_bos;
}

uint32_t lcf_tokenizer_special(const lcf_tokenizer *t, const char *text, size_t len)
{
    return lcf_piece_map_get(&t->specials, text, len);
}

lcf_status lcf_tokenizer_spell(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                               size_t len, lcf_err *err)
{
    size_t before_n = out->n;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < len && !status; i++) {
        uint32_t id = t->byte_ids[(unsigned char)text[i]];
        status = id == LCF_PIECE_NONE ? LCF_EUNSUPPORTED : lcf_tokens_push(out, id);
    }
    if (!status)
        return LCF_OK;
    out->n = before_n;
    return LCF_FAIL(err, status, "spelling %zu bytes%s", len,
                    status == LCF_EUNSUPPORTED ? ": the vocabulary has no pieces for bytes" : "");
}

void lcf_tokenizer_decode(lcf_buf *out, const lcf_tokenizer *t, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < t->vocab_n)
            lcf_buf_append(out, t->spellings[ids[i]].data, t->spellings[ids[i]].len);
}
