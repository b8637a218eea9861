/*
 * What a report was made from: every folder and file, by its content, with the verb, version,
 * options and inputs that its own manifest names, and the command that makes the report again.
 */
#ifndef LCF_OFFLINE_EVAL_SOURCES_H
#define LCF_OFFLINE_EVAL_SOURCES_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <jansson.h>

/*
 * Appends {"role", "path", "id", "made_by"} to `list`: id is the manifest's or the file's SHA-256;
 * made_by is null for a file, else {"verb", "version", "parameters", "inputs"} of the manifest.
 *
 * errors   ENOENT, EFORMAT, EIO of the file or manifest; ENOMEM
 */
lcf_status lcf_sources_add(json_t *list, const char *role, const char *path, lcf_err *err);

/* Every key of an object with its value, "a=1, b=x", appended; a value of 64 hexadecimal digits is
 * cut to 12. */
void lcf_sources_text(lcf_buf *out, const json_t *object);

#endif
