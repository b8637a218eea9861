/*
 * The outcome of a gate in a report: written once, and read again when a report is up to date.
 *
 * source   schemas/report.schema.json, "gate"
 */
#ifndef LCF_OFFLINE_EVAL_GATE_JSON_H
#define LCF_OFFLINE_EVAL_GATE_JSON_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/gate.h"

#include <jansson.h>

/* Checked conditions as JSON, null without any; NULL when out of memory. */
json_t *lcf_gate_json(const lcf_gate_condition *conditions, size_t n, bool passed);

/* A line for a terminal per condition. */
void lcf_gate_summary(lcf_buf *out, const json_t *gate);

/* errors: EGATE with every condition that is not met */
lcf_status lcf_gate_verdict(const json_t *gate, lcf_err *err);

#endif
