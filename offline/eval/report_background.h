/* The tables of report_background.c, for report_tables.c alone: see lcf_report_grid. */
#ifndef LCF_OFFLINE_EVAL_REPORT_BACKGROUND_H
#define LCF_OFFLINE_EVAL_REPORT_BACKGROUND_H

#include "offline/eval/report.h"

lcf_status report_drift_grid(lcf_grid *g, const lcf_report *report);
lcf_status report_latency_grid(lcf_grid *g, const lcf_report *report);
lcf_status report_training_grid(lcf_grid *g, const lcf_report *report);
lcf_status report_sources_grid(lcf_grid *g, const lcf_report *report);

#endif
