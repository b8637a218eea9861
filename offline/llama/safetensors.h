/*
 * safetensors: the file format of most published weights, read by mapping; one file, or a folder
 * with model.safetensors or with several files and model.safetensors.index.json.
 *
 * A file is 8 bytes of header length (little-endian), a JSON object {name: {dtype, shape,
 * data_offsets}}, and the data. Everything that is used is checked: the header against the file,
 * each tensor's bytes against its shape and the data, all tensors together against the data's size.
 * Views stay valid until close.
 *
 * source   the safetensors format (huggingface/safetensors, README)
 */
#ifndef LCF_OFFLINE_LLAMA_SAFETENSORS_H
#define LCF_OFFLINE_LLAMA_SAFETENSORS_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_SAFETENSORS_HEADER_MAX ((size_t)100 << 20)
#define LCF_SAFETENSORS_DIMS_MAX 8

typedef struct lcf_safetensor {
    const char *name;
    const char *dtype;                       /* "F32", "BF16", ... */
    uint64_t dims[LCF_SAFETENSORS_DIMS_MAX]; /* the last one is contiguous */
    size_t dims_n, n;                        /* n: values */
    const uint8_t *data;                     /* not aligned */
} lcf_safetensor;

typedef struct lcf_safetensors lcf_safetensors;

/*
 * errors   ENOENT no such file, or none in the folder; EFORMAT not safetensors, damaged, or an
 * index that does not fit its files (named)
 */
lcf_status lcf_safetensors_open(lcf_safetensors **out, const char *path, lcf_err *err);
/* The same from bytes at hand, which must outlive it; `source` names them in messages. */
lcf_status lcf_safetensors_parse(lcf_safetensors **out, const uint8_t *bytes, size_t n,
                                 const char *source, lcf_err *err);
void lcf_safetensors_close(lcf_safetensors *s);
size_t lcf_safetensors_n(const lcf_safetensors *s);
const lcf_safetensor *lcf_safetensors_at(const lcf_safetensors *s, size_t idx);
const lcf_safetensor *lcf_safetensors_find(const lcf_safetensors *s, const char *name);
/* True for F32, F16 and BF16. */
bool lcf_safetensor_readable(const lcf_safetensor *t);
/* n values from `first` on as f32, of a readable tensor. */
void lcf_safetensor_widen(float *out, const lcf_safetensor *t, size_t first, size_t n);

#endif
