/*
 * The measures that get intervals, in two tables of the same form: identifier, name in JSON and
 * gates, name for people, and whether more is better. A name says its convention where conventions
 * differ; definitions are in schemas/report.md section 2.
 *
 * Measures by score need rows with a score and a label; measures of lists are about the first K
 * candidates of each user, best score first (offline/eval/lists.h).
 */
#ifndef LCF_OFFLINE_EVAL_METRICS_H
#define LCF_OFFLINE_EVAL_METRICS_H

#include <stdbool.h>

#define LCF_METRIC_LIST(X)                                                          \
    X(AUC, "auc", "AUC", true)                                                      \
    X(PR_AUC, "pr_auc", "PR-AUC", true)                                             \
    X(LOGLOSS, "logloss", "log loss", false)                                        \
    X(NE, "ne", "normalised entropy", false)                                        \
    X(BRIER, "brier", "Brier score", false)                                         \
    X(ECE, "ece", "ECE", false)                                                     \
    X(UAUC, "uauc", "UAUC (mean over users)", true)                                 \
    X(GAUC_IMPRESSIONS, "gauc_impressions", "GAUC (weighted by impressions)", true) \
    X(GAUC_POSITIVES, "gauc_positives", "GAUC (weighted by positives)", true)

typedef enum lcf_metric {
#define LCF_METRIC_ENUM(id, name, title, higher) LCF_METRIC_##id,
    LCF_METRIC_LIST(LCF_METRIC_ENUM)
#undef LCF_METRIC_ENUM
        LCF_METRICS_N
} lcf_metric;

typedef struct lcf_metric_info {
    const char *name, *title;
    bool higher_is_better;
} lcf_metric_info;

extern const lcf_metric_info LCF_METRIC_INFO[LCF_METRICS_N];

#endif
