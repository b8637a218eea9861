/*
 * GGUF: the file format of LLaMA weights, read by mapping and written atomically.
 *
 * Reading checks everything it uses: counts against the file's size, string lengths, tensor
 * offsets, alignment, sizes recomputed from dims and type. Views stay valid until close. Versions 1
 * to 3, little-endian, in one file or several.
 *
 * source   the GGUF specification (ggml documentation), schemas/recgen.md for the keys we write
 */
#ifndef LCF_OFFLINE_LLAMA_GGUF_H
#define LCF_OFFLINE_LLAMA_GGUF_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lcf_gguf_type { /* tensor types that we read, with GGUF's numbers */
                             LCF_GGUF_F32 = 0,
                             LCF_GGUF_F16 = 1,
                             LCF_GGUF_Q4_0 = 2,
                             LCF_GGUF_Q4_1 = 3,
                             LCF_GGUF_Q5_0 = 6,
                             LCF_GGUF_Q5_1 = 7,
                             LCF_GGUF_Q8_0 = 8,
                             LCF_GGUF_Q4_K = 12,
                             LCF_GGUF_Q5_K = 13,
                             LCF_GGUF_Q6_K = 14,
                             LCF_GGUF_BF16 = 30,
} lcf_gguf_type;

#define LCF_GGUF_NAME_BYTES 64 /* of a tensor's name, with the NUL */

typedef struct lcf_gguf_tensor {
    char name[LCF_GGUF_NAME_BYTES];
    lcf_gguf_type type;
    uint32_t dims_n;
    uint64_t dims[4]; /* GGUF order: dims[0] is the contiguous one, so a [out, in] matrix has dims
                         {in, out} */
    const void *data;
    size_t bytes_n, n;
} lcf_gguf_tensor;

typedef struct lcf_gguf lcf_gguf;

/*
 * A model in several files is opened by its first, NAME-00001-of-0000N.gguf: the others are found
 * beside it, and their tensors stand in one table.
 *
 * errors   EFORMAT damaged, or a shard that does not belong (named); EVERSION; EUNSUPPORTED a
 *          tensor type of unknown size (the tensor is named); EINVAL a shard that is not the first
 */
lcf_status lcf_gguf_open(lcf_gguf **out, const char *path, lcf_err *err);
void lcf_gguf_close(lcf_gguf *g);

/* Metadata. errors: ENOTFOUND no such key (silent when err is NULL), EFORMAT of another type.
 * Integers of any width convert. */
lcf_status lcf_gguf_u64(uint64_t *out, const lcf_gguf *g, const char *key, lcf_err *err);
lcf_status lcf_gguf_f64(double *out, const lcf_gguf *g, const char *key, lcf_err *err);
lcf_status lcf_gguf_bool(bool *out, const lcf_gguf *g, const char *key, lcf_err *err);
lcf_status lcf_gguf_string(lcf_str *out, const lcf_gguf *g, const char *key, lcf_err *err);
/* Arrays: strings (offset table built at open), f32, i32. */
lcf_status lcf_gguf_strings(const lcf_str **out, size_t *n, const lcf_gguf *g, const char *key,
                            lcf_err *err);
lcf_status lcf_gguf_f32s(const float **out, size_t *n, const lcf_gguf *g, const char *key,
                         lcf_err *err);
lcf_status lcf_gguf_i32s(const int32_t **out, size_t *n, const lcf_gguf *g, const char *key,
                         lcf_err *err);

/* The type of a metadata value, with GGUF's numbers. */
typedef enum lcf_gguf_kind {
    LCF_GGUF_KIND_U8 = 0,
    LCF_GGUF_KIND_I8 = 1,
    LCF_GGUF_KIND_U16 = 2,
    LCF_GGUF_KIND_I16 = 3,
    LCF_GGUF_KIND_U32 = 4,
    LCF_GGUF_KIND_I32 = 5,
    LCF_GGUF_KIND_F32 = 6,
    LCF_GGUF_KIND_BOOL = 7,
    LCF_GGUF_KIND_STRING = 8,
    LCF_GGUF_KIND_ARRAY = 9,
    LCF_GGUF_KIND_U64 = 10,
    LCF_GGUF_KIND_I64 = 11,
    LCF_GGUF_KIND_F64 = 12,
} lcf_gguf_kind;
/* Bytes of one value of a fixed-size kind; 0 for strings, arrays and unknown kinds. */
size_t lcf_gguf_kind_bytes(uint32_t kind);

typedef struct lcf_gguf_value { /* one key's value as it stands in the file */
    lcf_gguf_kind kind;         /* of the value, or of an array's elements */
    bool array;
    size_t n;               /* elements; 1 for a scalar */
    const uint8_t *data;    /* n values of a fixed-size kind, any alignment */
    const lcf_str *strings; /* [n] for strings */
} lcf_gguf_value;

uint32_t lcf_gguf_version(const lcf_gguf *g);
/* Keys (of the first shard) in alphabetical order; NULL past the end. */
const char *lcf_gguf_key_at(const lcf_gguf *g, size_t idx);
/* The value of the key at idx, which must exist. */
lcf_gguf_value lcf_gguf_value_at(const lcf_gguf *g, size_t idx);
/* Files that the model lies in, and their bytes together. */
size_t lcf_gguf_shards_n(const lcf_gguf *g);
uint64_t lcf_gguf_bytes_n(const lcf_gguf *g);
/* Where a file was opened; shard < lcf_gguf_shards_n. */
const char *lcf_gguf_path(const lcf_gguf *g, size_t shard);
/* The bytes of a file as they are mapped; shard < lcf_gguf_shards_n. */
const void *lcf_gguf_bytes(size_t *n, const lcf_gguf *g, size_t shard);
/* XXH3-128 of the file, hexadecimal; of the shards' hashes where there are several. */
void lcf_gguf_id(char out[33], const lcf_gguf *g);

size_t lcf_gguf_tensors_n(const lcf_gguf *g);
const lcf_gguf_tensor *lcf_gguf_tensor_at(const lcf_gguf *g, size_t idx);
const lcf_gguf_tensor *lcf_gguf_tensor_find(const lcf_gguf *g, const char *name);

/* "F32", "Q8_0", "Q4_K", ...; NULL for a number that is no tensor type. */
const char *lcf_gguf_type_name(lcf_gguf_type type);
/* The type of a name, in any case; false when there is none. */
bool lcf_gguf_type_parse(lcf_gguf_type *out, const char *name);
/* True for the types of lcf_gguf_type: others are listed but their values cannot be read. */
bool lcf_gguf_type_readable(lcf_gguf_type type);
/* True for those that lcf_gguf_quantize makes: all readable ones but the K types. */
bool lcf_gguf_type_writable(lcf_gguf_type type);
/* The value of general.file_type for a model whose matrices are of a writable type. */
uint32_t lcf_gguf_file_type(lcf_gguf_type type);
/* Values in a block of a known type: 1, 32 or 256. A row is a whole number of blocks. */
size_t lcf_gguf_type_block(lcf_gguf_type type);
/* Bytes of n values of a known type, n a multiple of its block. */
size_t lcf_gguf_type_bytes(lcf_gguf_type type, size_t n);

/*
 * n values at `data`, stored as a readable type, as f32.
 *
 * shapes   out [n]; data: n / block blocks, any alignment; n a multiple of the block
 * order    elementwise: the bits do not depend on how a tensor is cut
 * threads  safe
 */
void lcf_gguf_widen(float *out, lcf_gguf_type type, const void *data, size_t n);
/* The same for n values of a tensor from position `first`, both multiples of the block. A row r of
 * a matrix begins at r * dims[0]. */
void lcf_gguf_dequantize(float *out, const lcf_gguf_tensor *t, size_t first, size_t n);
/* n values to a writable type, rounded to nearest; n a multiple of the block. */
void lcf_gguf_quantize(void *out, lcf_gguf_type type, const float *x, size_t n);

typedef struct lcf_gguf_writer lcf_gguf_writer;
lcf_status lcf_gguf_create(lcf_gguf_writer **out, const char *path, lcf_err *err);
/* All keys first, then all tensors; values are copied or written at once. */
lcf_status lcf_gguf_add_u32(lcf_gguf_writer *w, const char *key, uint32_t value, lcf_err *err);
lcf_status lcf_gguf_add_f32(lcf_gguf_writer *w, const char *key, float value, lcf_err *err);
lcf_status lcf_gguf_add_bool(lcf_gguf_writer *w, const char *key, bool value, lcf_err *err);
lcf_status lcf_gguf_add_string(lcf_gguf_writer *w, const char *key, const char *value,
                               lcf_err *err);
lcf_status lcf_gguf_add_strings(lcf_gguf_writer *w, const char *key, const lcf_str *values,
                                size_t n, lcf_err *err);
lcf_status lcf_gguf_add_f32s(lcf_gguf_writer *w, const char *key, const float *values, size_t n,
                             lcf_err *err);
lcf_status lcf_gguf_add_i32s(lcf_gguf_writer *w, const char *key, const int32_t *values, size_t n,
                             lcf_err *err);
/* Converts from f32 to `type`. `values` must stay valid until commit. dims in GGUF order. */
lcf_status lcf_gguf_add_tensor(lcf_gguf_writer *w, const char *name, lcf_gguf_type type,
                               const uint64_t *dims, uint32_t dims_n, const float *values,
                               lcf_err *err);
/* A value as another file has it. */
lcf_status lcf_gguf_add_value(lcf_gguf_writer *w, const char *key, const lcf_gguf_value *value,
                              lcf_err *err);
/*
 * A tensor of another file as `type`, read piece by piece at commit; copied where the types agree.
 * Its file must stay open until then.
 *
 * errors   EUNSUPPORTED no way from its type to that; at commit: a value that `type` cannot express
 */
lcf_status lcf_gguf_add_converted(lcf_gguf_writer *w, const lcf_gguf_tensor *source,
                                  lcf_gguf_type type, lcf_err *err);
/* Calls `watch` with the bytes of tensors written so far, during commit. */
void lcf_gguf_watch(lcf_gguf_writer *w, void (*watch)(void *arg, uint64_t bytes_n), void *arg);
/* errors: as above; ECANCELED a stop was requested */
lcf_status lcf_gguf_commit(lcf_gguf_writer *w, lcf_err *err); /* frees w, also on failure */
void lcf_gguf_abandon(lcf_gguf_writer *w);                    /* NULL is fine */

#endif
