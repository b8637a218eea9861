/*
 * From a path and a target policy to a log that can be evaluated.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_LOAD_H
#define LCF_OFFLINE_EVAL_OPE_LOAD_H

#include "common/base/status.h"
#include "offline/eval/ope/log.h"
#include "offline/eval/ope/read.h"

typedef struct lcf_ope_source {
    const char *path; /* a file, or the folder of a policy (Open Bandit) or of llmcf simulate */
    lcf_ope_format format;
    const char *target; /* NULL: as the log says; else "uniform", "logging", "estimated:PATH",
                           "scores:PATH" (a request log with another ranker's scores), or a policy
                           of the simulator: "popular", "best" */
    double temperature; /* of a target by scores: 0 ranks, above 0 draws (Plackett-Luce) */
    lcf_ope_log_options options;
} lcf_ope_source;

/*
 * The caller disposes *out, also after a failure; the source's texts must outlive it.
 *
 * errors   ENOENT, EIO; EFORMAT with file and line; EINVAL a target that this log cannot have;
 *          ENOMEM
 */
lcf_status lcf_ope_load(lcf_ope_log *out, const lcf_ope_source *source, lcf_err *err);

/* The file that a path stands for (a folder holds several); free() releases it. */
lcf_status lcf_ope_resolve(char **file, lcf_ope_format *format, const char *path, lcf_err *err);

#endif
