/*
 * The space of a sweep: a YAML file that says, for options of `llmcf train`, which values to try.
 *
 *     train:
 *       dataset: dataset                              one value: the same in every point
 *       lr: [0.001, 0.003, 0.01]                      a list: each of them
 *       weight-decay: {min: 1e-6, max: 1e-3, scale: log}   a range: random search draws from it
 *
 * A point is a JSON object from long options to values as they would be typed; true stands for an
 * option without a value, and an option that is false is left out.
 *
 * source   schemas/sweep.md
 */
#ifndef LCF_OFFLINE_TRAIN_SWEEP_SPACE_H
#define LCF_OFFLINE_TRAIN_SWEEP_SPACE_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_SWEEP_POINTS_MAX 10000

/* errors: those of lcf_yaml_load; EFORMAT something else than the above (the option is named).
 * memory: *space is the caller's (json_decref) */
lcf_status sweep_space_load(json_t **space, const char *path, lcf_err *err);
/* True when the option has more than one value. */
bool sweep_space_varies(const json_t *space, const char *option);
/*
 * Every combination of the lists, the last option's values in the innermost loop.
 *
 * errors   EINVAL a range, of which a grid can have no part; ELIMIT too many points
 * memory   *points, an array, is the caller's
 */
lcf_status sweep_grid(json_t **points, const json_t *space, lcf_err *err);
/* n different points drawn from (seed), fewer where there are not so many. */
lcf_status sweep_random(json_t **points, const json_t *space, size_t n, uint64_t seed,
                        lcf_err *err);

#endif
