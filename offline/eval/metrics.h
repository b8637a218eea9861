/*
 * The measures, in one table: identifier, name in JSON and gates, name for people, and whether more
 * is better. A name says its convention where conventions differ; definitions are in
 * schemas/report.md section 2.
 *
 * Measures by score need rows with a score and a label; measures of lists are about the first K
 * candidates of each user, best score first (offline/eval/lists/list.h).
 */
#ifndef LCF_OFFLINE_EVAL_METRICS_H
#define LCF_OFFLINE_EVAL_METRICS_H

#include <stdbool.h>

#define LCF_SCORE_METRIC_LIST(X)                                                    \
    X(AUC, "auc", "AUC", true)                                                      \
    X(PR_AUC, "pr_auc", "PR-AUC", true)                                             \
    X(LOGLOSS, "logloss", "log loss", false)                                        \
    X(NE, "ne", "normalised entropy", false)                                        \
    X(BRIER, "brier", "Brier score", false)                                         \
    X(ECE, "ece", "ECE", false)                                                     \
    X(UAUC, "uauc", "UAUC (mean over users)", true)                                 \
    X(GAUC_IMPRESSIONS, "gauc_impressions", "GAUC (weighted by impressions)", true) \
    X(GAUC_POSITIVES, "gauc_positives", "GAUC (weighted by positives)", true)

/* Means over users, then two of all lists together, which have no interval: a sample of users shows
 * fewer items than all users do. */
#define LCF_LIST_METRIC_LIST(X)                                    \
    X(HR, "hr", "HR", true)                                        \
    X(RECALL, "recall", "recall", true)                            \
    X(PRECISION, "precision", "precision", true)                   \
    X(NDCG, "ndcg", "NDCG (linear gain)", true)                    \
    X(NDCG_EXP, "ndcg_exp", "NDCG (exponential gain)", true)       \
    X(MRR, "mrr", "MRR", true)                                     \
    X(MAP, "map", "MAP", true)                                     \
    X(NOVELTY, "novelty", "novelty (bits)", true)                  \
    X(POPULARITY, "popularity", "average popularity", false)       \
    X(DIVERSITY, "diversity", "intra-list diversity (text)", true) \
    X(COVERAGE, "coverage", "catalogue coverage", true)            \
    X(GINI, "gini", "Gini of exposure", false)

#define LCF_METRIC_LIST(X)   \
    LCF_SCORE_METRIC_LIST(X) \
    LCF_LIST_METRIC_LIST(X)

typedef enum lcf_metric {
#define LCF_METRIC_ENUM(id, name, title, higher) LCF_METRIC_##id,
    LCF_METRIC_LIST(LCF_METRIC_ENUM)
#undef LCF_METRIC_ENUM
        LCF_METRICS_N,
    LCF_METRIC_LISTS = LCF_METRIC_HR /* the first of lists */
} lcf_metric;

/* The same, counted from the first of lists. */
typedef enum lcf_list_metric {
#define LCF_METRIC_ENUM(id, name, title, higher) LCF_LIST_##id,
    LCF_LIST_METRIC_LIST(LCF_METRIC_ENUM)
#undef LCF_METRIC_ENUM
        LCF_LIST_METRICS_N,
    LCF_LIST_USER_METRICS_N = LCF_LIST_COVERAGE /* means over users */
} lcf_list_metric;

typedef struct lcf_metric_info {
    const char *name, *title;
    bool higher_is_better;
} lcf_metric_info;

extern const lcf_metric_info LCF_METRIC_INFO[LCF_METRICS_N];

#endif
