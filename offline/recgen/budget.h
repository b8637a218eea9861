/*
 * Budgets of a long job: on reaching one it begins nothing new, commits what is under way and ends
 * well; the next run goes on.
 */
#ifndef LCF_OFFLINE_RECGEN_BUDGET_H
#define LCF_OFFLINE_RECGEN_BUDGET_H

#include "common/base/status.h"

#include <stdint.h>
#include <time.h>

typedef struct lcf_budget { /* 0 = no limit */
    uint64_t rows_max, tokens_max;
    time_t deadline;              /* wall clock */
    uint64_t free_disk_bytes_min; /* where the output grows */
} lcf_budget;

/*
 * Which budget is used up: the name of its option (static), or NULL. What is under way when this is
 * asked is not counted.
 *
 * memory   keeps nothing
 * threads  safe
 */
const char *lcf_budget_reached(const lcf_budget *b, uint64_t rows_n, uint64_t tokens_n,
                               const char *folder);

/* The next local time "HH:MM" after now. errors: EUSAGE */
lcf_status lcf_deadline_parse(time_t *out, const char *text, time_t now, lcf_err *err);
/* Bytes: a number, or one with K, M, G or T (powers of 1024) behind it. errors: EUSAGE */
lcf_status lcf_bytes_parse(uint64_t *out, const char *text, lcf_err *err);

#endif
