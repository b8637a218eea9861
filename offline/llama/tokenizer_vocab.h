/*
 * The vocabulary inside a tokenizer: what encoding, training and saving share. Private to this
 * folder.
 */
#ifndef LCF_OFFLINE_LLAMA_TOKENIZER_VOCAB_H
#define LCF_OFFLINE_LLAMA_TOKENIZER_VOCAB_H

#include "offline/llama/tokenizer.h"

#define LCF_PIECE_NONE UINT32_MAX
#define LCF_SPACE_MARK "\xe2\x96\x81" /* U+2581, a space as pieces spell it */
#define LCF_SPACE_MARK_BYTES 3

typedef enum lcf_piece_type { /* tokenizer.ggml.token_type */
                              LCF_PIECE_NORMAL = 1,
                              LCF_PIECE_UNKNOWN = 2,
                              LCF_PIECE_CONTROL = 3,
                              LCF_PIECE_USER = 4,
                              LCF_PIECE_UNUSED = 5,
                              LCF_PIECE_BYTE = 6,
} lcf_piece_type;

/* Byte strings to numbers, open addressing; the strings belong to somebody else. */
typedef struct lcf_piece_map {
    struct lcf_piece_slot {
        const char *data;
        uint32_t len, value;
    } * slots;
    size_t mask, n;
} lcf_piece_map;

/* Room for n strings without growing. */
lcf_status lcf_piece_map_init(lcf_piece_map *map, size_t n);
void lcf_piece_map_dispose(lcf_piece_map *map);
/* LCF_PIECE_NONE when it is not there. */
uint32_t lcf_piece_map_get(const lcf_piece_map *map, const char *data, size_t len);
/* Keeps the first value of a string that comes twice. */
lcf_status lcf_piece_map_add(lcf_piece_map *map, const char *data, size_t len, uint32_t value);

struct lcf_tokenizer {
    size_t vocab_n;
    char *text;        /* all pieces, one after another */
    lcf_str *pieces;   /* [vocab_n] into text */
    float *scores;     /* [vocab_n] */
    int32_t *types;    /* [vocab_n], lcf_piece_type */
    lcf_piece_map map; /* normal pieces: the only ones that text can become */
    size_t piece_bytes_max;
    uint32_t byte_ids[256]; /* LCF_PIECE_NONE where there is none */
    uint32_t bos, eos, unknown;
    bool adds_prefix_space, adds_bos;
    /* joins[b]: a piece has the space mark after byte b, so words are not independent there */
    bool joins[256];
};

/* Copies pieces, scores and types, and derives the rest; bos, eos and flags are the caller's. */
lcf_status lcf_tokenizer_create(lcf_tokenizer **out, const lcf_str *pieces, const float *scores,
                                const int32_t *types, size_t vocab_n, const char *source,
                                lcf_err *err);

/* Bytes of the UTF-8 character at s, 1 for a byte that begins none. n >= 1. */
size_t lcf_char_bytes(const char *s, size_t n);

#endif
