/*
 * Two plain files of scores as a table: rows are matched by key, in whatever order the files have
 * them.
 */
#ifndef LCF_OFFLINE_EVAL_SCORE_FILES_H
#define LCF_OFFLINE_EVAL_SCORE_FILES_H

#include "common/base/status.h"
#include "offline/eval/table.h"

/*
 * Rows of the table are numbered by the byte order of their keys, so that the order of the files
 * does not matter; users likewise. Items are those of the column `item` of A.
 *
 * errors   EFORMAT a file that cannot be read as one; a key twice in a file; a key that the other
 *          file does not have; another user, label or gain for the same key; a score that is NaN;
 *          all these name file and line; those of lcf_eval_table_align; ENOMEM
 *          `allow` makes some of them counts in out->dropped
 */
lcf_status lcf_score_files_table(lcf_eval_table *out, const char *path_a, const char *path_b,
                                 const lcf_table_allow *allow, lcf_err *err);

#endif
