/*
 * What a GGUF file holds, for llmcf inspect.
 */
#ifndef LCF_OFFLINE_CMD_INSPECT_MODEL_H
#define LCF_OFFLINE_CMD_INSPECT_MODEL_H

#include "common/base/json.h"
#include "common/base/status.h"

#include <stdbool.h>

/* Adds architecture, sizes, types, vocabulary, special pieces and chat template to the object
 * `out`; with `tensors` every tensor's type and dims, too. errors: as lcf_gguf_open */
lcf_status lcf_inspect_model(json_t *out, const char *path, bool tensors, lcf_err *err);

#endif
