/*
 * The vocabulary inside a tokenizer: what encoding, training and saving share. Private to this
 * folder.
 */
#ifndef LCF_OFFLINE_LLAMA_TOKENIZER_VOCAB_H
#define LCF_OFFLINE_LLAMA_TOKENIZER_VOCAB_H

#include "offline/llama/pretokenize.h"
#include "offline/llama/tokenizer.h"
#include "offline/llama/unicode.h"

#define LCF_PIECE_NONE UINT32_MAX
#define LCF_SPACE_MARK "\xe2\x96\x81" /* U+2581, a space as pieces spell it */
#define LCF_SPACE_MARK_BYTES 3

enum { LCF_VOCAB_MAX = 1 << 24 }; /* scores of -rank are exact floats up to here */

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

/* A merge of a byte-level BPE: two pieces next to each other become a third; low ranks first. */
typedef struct lcf_merge {
    uint32_t left, right, made, rank; /* left LCF_PIECE_NONE: an empty slot */
} lcf_merge;

struct lcf_tokenizer {
    lcf_tokenizer_kind kind;
    size_t vocab_n;
    char *text;         /* all pieces, one after another, then all spellings */
    lcf_str *pieces;    /* [vocab_n] as the file has them, into text */
    lcf_str *spellings; /* [vocab_n] the bytes that a piece decodes to: none for control pieces */
    float *scores;      /* [vocab_n]; SPM */
    int32_t *types;     /* [vocab_n], lcf_piece_type */
    /* Normal pieces, the only ones that text can become by merging: by spelling for BPE, by piece
     * otherwise. */
    lcf_piece_map map;
    lcf_piece_map specials; /* control and user-defined pieces by what stands in the file */
    /* User-defined pieces: text becomes them whole. By spelling, of equal ones the lowest first. */
    uint32_t *users; /* [users_n] */
    size_t users_n, users_capacity;
    bool user_begins[256]; /* by the first byte of such a spelling */
    size_t piece_bytes_max;
    uint32_t byte_ids[256];     /* LCF_PIECE_NONE where there is none */
    uint32_t bos, eos, unknown; /* LCF_PIECE_NONE where there is none; for WordPiece [CLS], [SEP] */
    uint32_t ends[3];           /* other pieces that end a turn or a message */
    bool adds_prefix_space, adds_bos;
    /* joins[b]: a piece has the space mark after byte b, so words are not independent there; SPM */
    bool joins[256];

    lcf_pretokenizer pre; /* BPE, from here on */
    bool whole_words;     /* a word that is a piece is taken as it is */
    lcf_merge *merges;    /* hash table of merges_mask + 1 slots */
    size_t merges_mask, merges_n;
};

typedef struct lcf_vocab { /* what a tokenizer is made from; copied */
    lcf_tokenizer_kind kind;
    size_t n;
    const lcf_str *pieces; /* [n] */
    const float *scores;   /* [n], or NULL: all 0 */
    const int32_t *types;  /* [n], or NULL: all normal */
    lcf_pretokenizer pre;
    bool whole_words;
    const lcf_str *merges; /* [merges_n] "left right", the best first; BPE */
    size_t merges_n;
} lcf_vocab;

/* Derives the rest; bos, eos, ends and flags are the caller's. source: for messages. */
lcf_status lcf_tokenizer_create(lcf_tokenizer **out, const lcf_vocab *vocab, const char *source,
                                lcf_err *err);

/* The slot of a pair, or the empty one where it belongs. */
lcf_merge *lcf_merge_slot(const lcf_tokenizer *t, uint32_t left, uint32_t right);

/* The ids of a text without user-defined pieces. */
lcf_status lcf_encode_wordpiece(lcf_tokens *out, const lcf_tokenizer *t, const char *text,
                                size_t len);

/* The alphabet of byte-level pieces: a character for every byte. The bytes that `piece` stands for
 * (characters beyond the alphabet as they are) into out [piece.len], which may be the piece itself;
 * returns their number. */
size_t lcf_byte_alphabet_decode(char *out, lcf_str piece);
/* Appends the piece of some bytes. */
void lcf_byte_alphabet_encode(lcf_buf *out, lcf_str bytes);

#endif
