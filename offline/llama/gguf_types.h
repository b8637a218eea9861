/*
 * The table of GGUF tensor types, for the reader and the writer.
 */
#ifndef LCF_OFFLINE_LLAMA_GGUF_TYPES_H
#define LCF_OFFLINE_LLAMA_GGUF_TYPES_H

#include "offline/llama/gguf.h"
#include "offline/llama/gguf_blocks.h"

#define LCF_GGUF_ALIGNMENT 32 /* of tensor data, unless general.alignment says otherwise */

typedef struct lcf_gguf_type_info {
    const char *name;
    size_t block_n, block_bytes;
    uint32_t file_type;    /* general.file_type of a model whose matrices are mostly of it */
    lcf_widen_fn *widen;   /* NULL: values of this type cannot be read */
    lcf_narrow_fn *narrow; /* NULL: nor written */
} lcf_gguf_type_info;

/* NULL for a number that is no type we know the size of. */
const lcf_gguf_type_info *lcf_gguf_type_info_of(uint32_t type);

#endif
