/* Clock, log, progress bars and the stop flag. Everything written here goes to stderr, one write
 * per line. */
#include "common/base/progress.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DRAW_EVERY_S 0.1
#define LOG_EVERY_S 10.0

static _Atomic lcf_log_level minimum_level = LCF_LOG_INFO; /* other threads log meanwhile */
static bool quiet_progress;
static volatile sig_atomic_t stop_flag;

uint64_t lcf_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double lcf_clock_s(void)
{
    return (double)lcf_clock_ns() * 1e-9;
}

void lcf_log_set_level(lcf_log_level minimum)
{
    minimum_level = minimum;
}

void lcf_log(lcf_log_level level, const char *format, ...)
{
    static const char *const NAMES[] = {"debug", "info", "warn", "error"};
    char text[1024], stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    va_list args;

    if (level < minimum_level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
    fprintf(stderr, "time=%s level=%s %s\n", stamp, NAMES[level], text);
}

static void print_duration(char *out, size_t n, double seconds)
{
    unsigned long s = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;

    if (s >= 3600)
        snprintf(out, n, "%luh%02lum", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, n, "%lum%02lus", s / 60, s % 60);
    else
        snprintf(out, n, "%lus", s);
}

static void draw_bar(const lcf_progress *p, double elapsed, double rate)
{
    char bar[25], eta[24] = "";

    if (p->total) {
        size_t filled = (size_t)(24.0 * (double)p->done / (double)p->total);
        memset(bar, '.', 24);
        memset(bar, '#', filled < 24 ? filled : 24);
        bar[24] = '\0';
        print_duration(eta, sizeof(eta),
                       rate > 0 && p->done < p->total ? (double)(p->total - p->done) / rate
                                                      : elapsed);
        fprintf(stderr, "\r\033[K%-10s [%s] %3.0f%% %llu/%llu %s  %.0f/s  %s %s  %s", p->label, bar,
                100.0 * (double)p->done / (double)p->total, (unsigned long long)p->done,
                (unsigned long long)p->total, p->unit, rate, p->done < p->total ? "ETA" : "took",
                eta, p->note);
    } else {
        fprintf(stderr, "\r\033[K%-10s %llu %s  %.0f/s  %s", p->label, (unsigned long long)p->done,
                p->unit, rate, p->note);
    }
    fflush(stderr);
}

static void draw(lcf_progress *p, double now)
{
    double elapsed = now - p->start_s;
    double rate = elapsed > 0 ? (double)p->done / elapsed : 0;
    char eta[24];

    p->last_s = now;
    p->drawn = true;
    if (p->terminal) {
        draw_bar(p, elapsed, rate);
        return;
    }
    print_duration(eta, sizeof(eta),
                   rate > 0 && p->total > p->done ? (double)(p->total - p->done) / rate : 0);
    lcf_log(LCF_LOG_INFO, "msg=\"%s\" done=%llu total=%llu unit=%s per_second=%.1f eta=%s%s%s%s",
            p->label, (unsigned long long)p->done, (unsigned long long)p->total, p->unit, rate, eta,
            *p->note ? " note=\"" : "", p->note, *p->note ? "\"" : "");
}

void lcf_progress_start(lcf_progress *p, const char *label, const char *unit, uint64_t total)
{
    *p = (lcf_progress){.label = label, .unit = unit, .total = total, .start_s = lcf_clock_s()};
    p->last_s = p->start_s;
    p->terminal = isatty(STDERR_FILENO);
}

void lcf_progress_update(lcf_progress *p, uint64_t done)
{
    double now = lcf_clock_s();

    p->done = done;
    if (!quiet_progress && now - p->last_s >= (p->terminal ? DRAW_EVERY_S : LOG_EVERY_S))
        draw(p, now);
}

void lcf_progress_note(lcf_progress *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(p->note, sizeof(p->note), format, args);
    va_end(args);
}

void lcf_progress_end(lcf_progress *p)
{
    if (quiet_progress)
        return;
    if (p->terminal || p->drawn)
        draw(p, lcf_clock_s());
    if (p->terminal)
        fputc('\n', stderr);
}

void lcf_progress_set_quiet(bool quiet)
{
    quiet_progress = quiet;
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_flag = 1;
}

void lcf_stop_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_stop;
    action.sa_flags = (int)SA_RESETHAND; /* a second signal ends the program at once */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

bool lcf_stop_requested(void)
{
    return stop_flag != 0;
}
