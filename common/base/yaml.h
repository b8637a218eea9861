/*
 * YAML from outside as JSON values, through libyaml: what configuration files other than --config
 * (common/base/cli.h) are read with.
 *
 * Mappings become objects, sequences arrays. Plain scalars that read as a number, true, false or
 * null become that, all others and everything in quotes a string.
 */
#ifndef LCF_COMMON_BASE_YAML_H
#define LCF_COMMON_BASE_YAML_H

#include "common/base/status.h"

#include <jansson.h>

#define LCF_YAML_DEPTH_MAX 16
#define LCF_YAML_NODES_MAX 100000 /* aliases counted each time, so that they cannot explode */

/*
 * errors   ENOENT, EIO; EFORMAT not YAML, a key that is no plain text or stands twice (file and
 *          line), nested or large beyond the limits; ENOMEM
 * memory   the caller owns *out (json_decref); an empty file is JSON null
 */
lcf_status lcf_yaml_load(json_t **out, const char *path, lcf_err *err);

#endif
