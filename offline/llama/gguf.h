/*
 * GGUF: the file format of LLaMA weights, read by mapping and written atomically.
 *
 * Reading checks everything it uses: counts against the file's size, string lengths, tensor
 * offsets, alignment, sizes recomputed from dims and type. Views stay valid until close. Versions 1
 * to 3, little-endian.
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

typedef enum lcf_gguf_type { /* tensor types, with GGUF's numbers */
                             LCF_GGUF_F32 = 0,
                             LCF_GGUF_F16 = 1,
                             LCF_GGUF_Q8_0 = 8,
                             LCF_GGUF_BF16 = 30,
} lcf_gguf_type;

typedef struct lcf_gguf_tensor {
    char name[64];
    lcf_gguf_type type;
    uint32_t dims_n;
    uint64_t dims[4]; /* GGUF order: dims[0] is the contiguous one, so a [out, in] matrix has dims
                         {in, out} */
    const void *data;
    size_t bytes_n, n;
} lcf_gguf_tensor;

typedef struct lcf_gguf lcf_gguf;

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

/* The file as it is mapped: version, bytes, and the keys in alphabetical order (NULL past the end).
 */
uint32_t lcf_gguf_version(const lcf_gguf *g);
const void *lcf_gguf_bytes(size_t *n, const lcf_gguf *g);
const char *lcf_gguf_key_at(const lcf_gguf *g, size_t idx);

size_t lcf_gguf_tensors_n(const lcf_gguf *g);
const lcf_gguf_tensor *lcf_gguf_tensor_at(const lcf_gguf *g, size_t idx);
const lcf_gguf_tensor *lcf_gguf_tensor_find(const lcf_gguf *g, const char *name);
/* "F32", "Q8_0", "Q4_K", ...; NULL for a number that is no tensor type. */
const char *lcf_gguf_type_name(lcf_gguf_type type);
/* True for the types of lcf_gguf_type: others are listed but their values cannot be read. */
bool lcf_gguf_type_readable(lcf_gguf_type type);
/* Bytes of n values of a readable type (n a multiple of 32 for Q8_0). */
size_t lcf_gguf_type_bytes(lcf_gguf_type type, size_t n);
/* n values as f32 from position `first` (both multiples of 32 for Q8_0) of a readable type. */
void lcf_gguf_dequantize(float *out, const lcf_gguf_tensor *t, size_t first, size_t n);

/* n values to `type`, rounded to nearest (n a multiple of 32 for Q8_0). */
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
lcf_status lcf_gguf_commit(lcf_gguf_writer *w, lcf_err *err); /* frees w, also on failure */
void lcf_gguf_abandon(lcf_gguf_writer *w);                    /* NULL is fine */

#endif
