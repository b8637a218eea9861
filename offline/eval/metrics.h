/*
 * The measures that get intervals, in one table: identifier, name in JSON and gates, name for
 * people, and whether more is better.
 */
#ifndef LCF_OFFLINE_EVAL_METRICS_H
#define LCF_OFFLINE_EVAL_METRICS_H

#include <stdbool.h>

#define LCF_METRIC_LIST(X)                   \
    X(AUC, "auc", "AUC", true)               \
    X(LOGLOSS, "logloss", "log loss", false) \
    X(UAUC, "uauc", "UAUC", true)            \
    X(GAUC, "gauc", "GAUC", true)

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
