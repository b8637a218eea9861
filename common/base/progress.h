/*
 * Progress of long work on stderr: a bar with rate and ETA on a terminal, one log line every 10
 * seconds otherwise, nothing with --quiet. Also the clock, the log and the stop flag, which long
 * work needs with it.
 */
#ifndef LCF_COMMON_BASE_PROGRESS_H
#define LCF_COMMON_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Monotonic seconds and nanoseconds. */
double lcf_clock_s(void);
uint64_t lcf_clock_ns(void);

/* Log lines: `time=... level=info msg="..." key=value`, on stderr. Text after msg is formatted by
 * the caller. */
typedef enum lcf_log_level {
    LCF_LOG_DEBUG,
    LCF_LOG_INFO,
    LCF_LOG_WARN,
    LCF_LOG_ERROR
} lcf_log_level;
void lcf_log_set_level(lcf_log_level minimum); /* default LCF_LOG_INFO */
void lcf_log(lcf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct lcf_progress {
    const char *label; /* static or outliving the progress */
    const char *unit;  /* "rows", "tokens", "steps" */
    uint64_t total;    /* 0 = unknown */
    uint64_t done;
    double start_s, last_s;
    bool terminal, drawn;
    char note[96]; /* shown at the end of the line, e.g. "loss 1.234" */
} lcf_progress;

void lcf_progress_start(lcf_progress *p, const char *label, const char *unit, uint64_t total);
/* Cheap enough for every row; draws at most 10 times a second. Call from one thread. */
void lcf_progress_update(lcf_progress *p, uint64_t done);
void lcf_progress_note(lcf_progress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Draws the last state and ends the line. */
void lcf_progress_end(lcf_progress *p);
void lcf_progress_set_quiet(bool quiet);

/* SIGTERM and SIGINT set a flag: the work finishes its batch, commits and returns LCF_ECANCELED
 * (exit code 75). */
void lcf_stop_install(void);
bool lcf_stop_requested(void);

#endif
