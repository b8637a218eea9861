/*
 * Compression of CoT records: zstd frames with content size, checksum and dictionary id, always.
 * Behind this header stands the only file of the store that sees zstd.
 *
 * A codec holds the dictionaries it was given; it encodes with the one added or chosen last and
 * decodes frames of any of them. Not thread-safe: its owner serialises.
 */
#ifndef LCF_COMMON_STORE_COT_ZSTD_H
#define LCF_COMMON_STORE_COT_ZSTD_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest record, before compression. */
#define LCF_COT_RAW_BYTES_MAX (1u << 20)

typedef struct lcf_cot_codec lcf_cot_codec;

lcf_status lcf_cot_codec_create(lcf_cot_codec **out, int level, lcf_err *err);
void lcf_cot_codec_free(lcf_cot_codec *c); /* NULL is fine */

/* Adds a dictionary (copied) and encodes with it from now on. errors: EFORMAT not one; ENOMEM */
lcf_status lcf_cot_codec_add_dictionary(lcf_cot_codec *c, const void *data, size_t n, lcf_err *err);
/* Encodes with that one from now on, where it was added. */
void lcf_cot_codec_choose(lcf_cot_codec *c, uint32_t id);
bool lcf_cot_codec_has_dictionary(const lcf_cot_codec *c, uint32_t id);
/* The id inside a dictionary; 0 when it is none. */
uint32_t lcf_cot_dictionary_id(const void *data, size_t n);
/* Frees the dictionaries that were added after the first n, and encodes with none or the last. */
size_t lcf_cot_codec_dictionaries_n(const lcf_cot_codec *c);
void lcf_cot_codec_drop_dictionaries(lcf_cot_codec *c, size_t n);

/* Appends one frame to `out`. */
lcf_status lcf_cot_codec_encode(lcf_cot_codec *c, lcf_buf *out, const void *raw, size_t n,
                                lcf_err *err);
/* Content size and dictionary id (0 = none) that a frame's header declares. errors: EFORMAT */
lcf_status lcf_cot_frame_info(size_t *raw_bytes, uint32_t *dictionary, const void *frame, size_t n,
                              lcf_err *err);
/*
 * Appends the content of one frame to `out`.
 *
 * errors   EFORMAT no frame, or too large; ENOTFOUND its dictionary was never added; ECHECKSUM
 * damaged
 */
lcf_status lcf_cot_codec_decode(lcf_cot_codec *c, lcf_buf *out, const void *frame, size_t n,
                                lcf_err *err);

/*
 * Trains a dictionary of at most bytes_max on n samples that lie one after the other; appends it.
 *
 * errors   EUNSUPPORTED the samples are too few or too alike for one (no message); ENOMEM
 */
lcf_status lcf_cot_dictionary_train(lcf_buf *out, const void *samples, const size_t *sizes,
                                    size_t n, size_t bytes_max, lcf_err *err);

#endif
