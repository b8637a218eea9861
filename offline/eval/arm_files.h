/*
 * Folders with predictions as arms of a comparison: what they are called, and their rows as a
 * table.
 */
#ifndef LCF_OFFLINE_EVAL_ARM_FILES_H
#define LCF_OFFLINE_EVAL_ARM_FILES_H

#include "common/base/status.h"
#include "offline/eval/table.h"

#include <stddef.h>

/*
 * A name for each folder: the last part of its path ("rankers/din/" is called "din"), or the path
 * itself for those whose last part is not theirs alone.
 *
 * errors   ENOMEM, and no name is left
 * memory   the caller frees each names[i]
 */
lcf_status lcf_arm_names(char **names, const char *const *dirs, size_t n, lcf_err *err);

/* dir/<split>.lcf, or `dir` itself when it is named as a plain file of scores, as a new string;
 * free() releases it. errors: ENOENT it is not there, with what writes it; ENOMEM */
lcf_status lcf_arm_path(char **out, const char *dir, const char *split, lcf_err *err);

/* Opens both and aligns them; both are predictions, or both plain files of scores. errors: as
 * lcf_predictions_open and lcf_eval_table_align, or lcf_score_files_table; the message says which
 * file is A and which is B */
lcf_status lcf_arm_table(lcf_eval_table *out, const char *path_a, const char *path_b,
                         const lcf_table_allow *allow, lcf_err *err);

#endif
