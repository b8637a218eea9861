/*
 * Readers of logged-bandit files. Each takes bytes that somebody else holds and fills a log; the
 * formats are told apart by what is in the file.
 *
 * source   schemas/bandit_log.md, schemas/request_log.md, schemas/truth.md
 */
#ifndef LCF_OFFLINE_EVAL_OPE_READ_H
#define LCF_OFFLINE_EVAL_OPE_READ_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/ope/log.h"

#include <stddef.h>

/* name of the option value, what it reads */
#define LCF_OPE_FORMAT_LIST(X)                                                                 \
    X(LCF_OPE_AUTO, "auto")           /* looks at the file */                                  \
    X(LCF_OPE_CSV, "csv")             /* columns by name, comma or tab */                      \
    X(LCF_OPE_JSONL, "jsonl")         /* one object per row */                                 \
    X(LCF_OPE_OBD, "obd")             /* Open Bandit data: a CSV, or the folder of a policy */ \
    X(LCF_OPE_SIMULATED, "simulated") /* the folder of llmcf simulate */                       \
    X(LCF_OPE_REQUESTS, "requests")   /* the server's request log */

typedef enum lcf_ope_format {
#define LCF_OPE_FORMAT_ENUM(id, name) id,
    LCF_OPE_FORMAT_LIST(LCF_OPE_FORMAT_ENUM)
#undef LCF_OPE_FORMAT_ENUM
        LCF_OPE_FORMATS_N
} lcf_ope_format;

/* "csv" and so on; NULL for a number that is no format. */
const char *lcf_ope_format_name(lcf_ope_format format);
/* LCF_OPE_FORMATS_N when there is none of that name. */
lcf_ope_format lcf_ope_format_of(const char *name);

/* The number in a cell; NaN where there is none, which a log refuses or takes as not given. */
double lcf_ope_number(lcf_str text);

/*
 * Readers of one file's bytes: they add rows to a log that was initialised and do not finish
 * it.
 *
 * errors   EFORMAT with file, line and what to do; ENOMEM
 */
lcf_status lcf_ope_read_csv(lcf_ope_log *log, const char *data, size_t bytes_n, lcf_err *err);
lcf_status lcf_ope_read_jsonl(lcf_ope_log *log, const char *data, size_t bytes_n, lcf_err *err);
lcf_status lcf_ope_read_obd(lcf_ope_log *log, const char *data, size_t bytes_n, lcf_err *err);

/*
 * impressions.tsv of llmcf simulate. With a policy of truth.lcf (bytes are of impressions.tsv,
 * truth is the path of the other): the first positions, whose target probabilities the truth knows.
 * With a NULL policy: all rows, without target probabilities.
 *
 * errors   also EINVAL the truth has no such policy
 */
lcf_status lcf_ope_read_simulated(lcf_ope_log *log, const char *data, size_t bytes_n,
                                  const char *truth, const char *policy, lcf_err *err);

/* How the target of a request log ranks: by the scores of another ranker, or not given. */
typedef struct lcf_ope_scores {
    const char *path, *data; /* a request log of the same requests; data NULL: no target */
    size_t bytes_n;
    double temperature; /* 0: by falling score; above 0: Plackett-Luce, drawn */
} lcf_ope_scores;

/*
 * The server's request log: lines of requests and of clicks, in any order.
 *
 * errors   also EFORMAT a request or a candidate that the target's scores do not have
 */
lcf_status lcf_ope_read_requests(lcf_ope_log *log, const char *data, size_t bytes_n,
                                 const lcf_ope_scores *target, lcf_err *err);

#endif
