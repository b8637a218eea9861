/*
 * Tokenizer: vocabulary, decoding, reading from and writing to GGUF. Encoding is in
 * tokenizer_encode.c, learning a vocabulary in tokenizer_train.c.
 */
#include "offline/llama/tokenizer.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/llama/tokenizer_vocab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB_MAX = 1 << 24 }; /* scores of -rank are exact floats up to here */

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

size_t lcf_char_bytes(const char *s, size_t n)
{
    unsigned char lead = (unsigned char)s[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (len < 2 || lead > 0xf4 || len > n || !lcf_utf8_valid(s, len))
        return 1;
    return len;
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

static void note_joins(lcf_tokenizer *t, lcf_str piece)
{
    for (size_t i = 1; i + LCF_SPACE_MARK_BYTES <= piece.len; i++)
        if (!memcmp(piece.data + i, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES))
            t->joins[(unsigned char)piece.data[i - 1]] = true;
}

static lcf_status index_piece(lcf_tokenizer *t, uint32_t id, const char *source, lcf_err *err)
{
    lcf_str piece = t->pieces[id];
    int byte;

    if (t->types[id] == LCF_PIECE_BYTE) {
        byte = byte_of_piece(piece);
        if (byte < 0)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: byte piece %u is not of the form <0xHH>", source,
                            id);
        if (t->byte_ids[byte] == LCF_PIECE_NONE)
            t->byte_ids[byte] = id;
    } else if (t->types[id] == LCF_PIECE_UNKNOWN && t->unknown == LCF_PIECE_NONE) {
        t->unknown = id;
    } else if (t->types[id] == LCF_PIECE_NORMAL && piece.len) {
        if (piece.len > t->piece_bytes_max)
            t->piece_bytes_max = piece.len;
        note_joins(t, piece);
        if (lcf_piece_map_add(&t->map, piece.data, piece.len, id))
            return LCF_FAIL(err, LCF_ENOMEM, "%s: index of %zu pieces", source, t->vocab_n);
    }
    return LCF_OK;
}

static lcf_status index_pieces(lcf_tokenizer *t, const char *source, lcf_err *err)
{
    lcf_status status = lcf_piece_map_init(&t->map, t->vocab_n);

    if (status)
        return LCF_FAIL(err, status, "%s: index of %zu pieces", source, t->vocab_n);
    t->unknown = LCF_PIECE_NONE;
    for (size_t i = 0; i < 256; i++)
        t->byte_ids[i] = LCF_PIECE_NONE;
    for (uint32_t id = 0; id < t->vocab_n && !status; id++)
        status = index_piece(t, id, source, err);
    if (status)
        return status;
    for (size_t i = 0; i < 256 && t->unknown == LCF_PIECE_NONE; i++)
        if (t->byte_ids[i] == LCF_PIECE_NONE)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s: vocabulary has neither all bytes nor an unknown piece", source);
    return LCF_OK;
}

static lcf_status copy_pieces(lcf_tokenizer *t, const lcf_str *pieces, const float *scores,
                              const int32_t *types)
{
    size_t bytes_n = 1, at = 0;

    for (size_t i = 0; i < t->vocab_n; i++)
        bytes_n += pieces[i].len;
    t->text = lcf_alloc(bytes_n, 1);
    t->pieces = lcf_alloc(t->vocab_n, sizeof(*t->pieces));
    t->scores = lcf_alloc(t->vocab_n, sizeof(*t->scores));
    t->types = lcf_alloc(t->vocab_n, sizeof(*t->types));
    if (!t->text || !t->pieces || !t->scores || !t->types)
        return LCF_ENOMEM;
    for (size_t i = 0; i < t->vocab_n; i++) {
        if (pieces[i].len)
            memcpy(t->text + at, pieces[i].data, pieces[i].len);
        t->pieces[i] = (lcf_str){t->text + at, pieces[i].len};
        at += pieces[i].len;
    }
    memcpy(t->scores, scores, t->vocab_n * sizeof(*scores));
    memcpy(t->types, types, t->vocab_n * sizeof(*types));
    return LCF_OK;
}

lcf_status lcf_tokenizer_create(lcf_tokenizer **out, const lcf_str *pieces, const float *scores,
                                const int32_t *types, size_t vocab_n, const char *source,
                                lcf_err *err)
{
    lcf_tokenizer *t = NULL;
    lcf_status status;

    *out = NULL;
    if (!vocab_n || vocab_n > VOCAB_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: vocabulary of %zu pieces; 1 to %d are possible",
                        source, vocab_n, VOCAB_MAX);
    t = lcf_alloc_zero(1, sizeof(*t));
    if (!t)
        return LCF_FAIL(err, LCF_ENOMEM, "%s: tokenizer", source);
    t->vocab_n = vocab_n;
    t->adds_prefix_space = t->adds_bos = true;
    status = copy_pieces(t, pieces, scores, types);
    if (status) {
        status = LCF_FAIL(err, status, "%s: vocabulary of %zu pieces", source, vocab_n);
        goto done;
    }
    status = index_pieces(t, source, err);
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
    free(t->text);
    free(t->pieces);
    free(t->scores);
    free(t->types);
    free(t);
}

/* A key that may be missing; *out then stays. */
static lcf_status optional_bool(bool *out, const lcf_gguf *g, const char *key, lcf_err *err)
{
    return lcf_gguf_bool(out, g, key, NULL) == LCF_EFORMAT ? lcf_gguf_bool(out, g, key, err)
                                                           : LCF_OK;
}

static lcf_status special_id(uint32_t *out, const lcf_tokenizer *t, const lcf_gguf *g,
                             const char *key, uint32_t missing, lcf_err *err)
{
    uint64_t id = missing;
    lcf_status status = lcf_gguf_u64(&id, g, key, NULL);

    if (status && status != LCF_ENOTFOUND)
        return lcf_gguf_u64(&id, g, key, err);
    if (id >= t->vocab_n)
        return LCF_FAIL(err, LCF_EFORMAT, "key '%s': id %llu in a vocabulary of %zu", key,
                        (unsigned long long)id, t->vocab_n);
    *out = (uint32_t)id;
    return LCF_OK;
}

static lcf_status read_specials(lcf_tokenizer *t, const lcf_gguf *g, lcf_err *err)
{
    lcf_status status = special_id(&t->bos, t, g, "tokenizer.ggml.bos_token_id", 1, err);

    if (!status)
        status = special_id(&t->eos, t, g, "tokenizer.ggml.eos_token_id", 2, err);
    if (!status)
        status = optional_bool(&t->adds_prefix_space, g, "tokenizer.ggml.add_space_prefix", err);
    if (!status)
        status = optional_bool(&t->adds_bos, g, "tokenizer.ggml.add_bos_token", err);
    return status;
}

static lcf_status check_model(const lcf_gguf *g, lcf_err *err)
{
    lcf_str model = {NULL, 0};
    lcf_status status = lcf_gguf_string(&model, g, "tokenizer.ggml.model", err);

    if (status == LCF_ENOTFOUND)
        return LCF_FAIL(err, LCF_EFORMAT, "the file has no vocabulary (tokenizer.ggml.model)");
    if (!status && (model.len != 5 || memcmp(model.data, "llama", 5)))
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "tokenizer model '%.*s'; only 'llama' (SentencePiece) is supported",
                        (int)(model.len < 64 ? model.len : 64), model.data);
    return status;
}

lcf_status lcf_tokenizer_from_gguf(lcf_tokenizer **out, const lcf_gguf *g, lcf_err *err)
{
    const lcf_str *pieces = NULL;
    const float *scores = NULL;
    const int32_t *types = NULL;
    size_t pieces_n = 0, scores_n = 0, types_n = 0;
    lcf_tokenizer *t = NULL;
    lcf_status status;

    *out = NULL;
    status = check_model(g, err);
    if (!status)
        status = lcf_gguf_strings(&pieces, &pieces_n, g, "tokenizer.ggml.tokens", err);
    if (!status)
        status = lcf_gguf_f32s(&scores, &scores_n, g, "tokenizer.ggml.scores", err);
    if (!status)
        status = lcf_gguf_i32s(&types, &types_n, g, "tokenizer.ggml.token_type", err);
    if (status == LCF_ENOTFOUND)
        status = LCF_EFORMAT;
    if (!status && (pieces_n != scores_n || pieces_n != types_n))
        status = LCF_FAIL(err, LCF_EFORMAT, "vocabulary of %zu pieces, %zu scores and %zu types",
                          pieces_n, scores_n, types_n);
    if (!status)
        status = lcf_tokenizer_create(&t, pieces, scores, types, pieces_n, "vocabulary", err);
    if (!status)
        status = read_specials(t, g, err);
    if (!status) {
        *out = t;
        t = NULL;
    }
    lcf_tokenizer_free(t);
    return status;
}

lcf_status lcf_tokenizer_save(const lcf_tokenizer *t, lcf_gguf_writer *w, lcf_err *err)
{
    lcf_status status = lcf_gguf_add_string(w, "tokenizer.ggml.model", "llama", err);

    if (!status)
        status = lcf_gguf_add_strings(w, "tokenizer.ggml.tokens", t->pieces, t->vocab_n, err);
    if (!status)
        status = lcf_gguf_add_f32s(w, "tokenizer.ggml.scores", t->scores, t->vocab_n, err);
    if (!status)
        status = lcf_gguf_add_i32s(w, "tokenizer.ggml.token_type", t->types, t->vocab_n, err);
    if (!status)
        status = lcf_gguf_add_u32(w, "tokenizer.ggml.bos_token_id", t->bos, err);
    if (!status)
        status = lcf_gguf_add_u32(w, "tokenizer.ggml.eos_token_id", t->eos, err);
    if (!status && t->unknown != LCF_PIECE_NONE)
        status = lcf_gguf_add_u32(w, "tokenizer.ggml.unknown_token_id", t->unknown, err);
    if (!status)
        status = lcf_gguf_add_bool(w, "tokenizer.ggml.add_space_prefix", t->adds_prefix_space, err);
    if (!status)
        status = lcf_gguf_add_bool(w, "tokenizer.ggml.add_bos_token", t->adds_bos, err);
    return status;
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

bool lcf_tokenizer_adds_bos(const lcf_tokenizer *t)
{
    return t->adds_bos;
}

static void decode_piece(lcf_buf *out, lcf_str piece)
{
    size_t at = 0;

    while (at < piece.len) {
        if (piece.len - at >= LCF_SPACE_MARK_BYTES &&
            !memcmp(piece.data + at, LCF_SPACE_MARK, LCF_SPACE_MARK_BYTES)) {
            lcf_buf_append_char(out, ' ');
            at += LCF_SPACE_MARK_BYTES;
        } else {
            lcf_buf_append_char(out, piece.data[at++]);
        }
    }
}

void lcf_tokenizer_decode(lcf_buf *out, const lcf_tokenizer *t, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= t->vocab_n)
            continue;
        if (t->types[ids[i]] == LCF_PIECE_BYTE)
            lcf_buf_append_char(out, (char)byte_of_piece(t->pieces[ids[i]]));
        else if (t->types[ids[i]] == LCF_PIECE_NORMAL || t->types[ids[i]] == LCF_PIECE_USER)
            decode_piece(out, t->pieces[ids[i]]);
    }
}
