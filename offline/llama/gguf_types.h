/*
 * The table of GGUF tensor types, for the reader and the writer.
 */
#ifndef LCF_OFFLINE_LLAMA_GGUF_TYPES_H
#define LCF_OFFLINE_LLAMA_GGUF_TYPES_H

#include "offline/llama/gguf.h"

#define LCF_GGUF_ALIGNMENT 32 /* of tensor data, unless general.alignment says otherwise */

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

typedef struct lcf_gguf_type_info {
    const char *name;
    size_t block_n, block_bytes;
    bool readable;
} lcf_gguf_type_info;

/* NULL for a number that is no type we know the size of. */
const lcf_gguf_type_info *lcf_gguf_type_info_of(uint32_t type);

#endif
