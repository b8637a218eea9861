/* The request log: see request_log.h. Invariant: a line is in the file whole or not at all. */
#include "online/server/request_log.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/torn_line.h"
#include "online/rank/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct lcf_request_log {
    char *path;
    uint64_t limit; /* a hash below it is logged */
    bool all;
    uint64_t bytes_max;
    uint64_t start; /* random: tells the ids of one start from those of another */
    _Atomic uint64_t count;
    pthread_mutex_t mutex;
    int fd; /* -1: to be opened */
    uint64_t bytes;
    bool complained;
};

/* A line that a killed server left torn goes; a log may be a pipe, too, which has none. */
static bool mend(const lcf_request_log *log, struct stat *info)
{
    int fd;
    bool whole;

    if (fstat(log->fd, info))
        return false;
    if (!S_ISREG(info->st_mode))
        return true;
    fd = open(log->path, O_RDWR | O_CLOEXEC);
    whole = fd >= 0 && lcf_cut_torn_line(fd) && !fstat(fd, info);
    if (fd >= 0)
        close(fd);
    return whole;
}

/* The file and its size; -1 where it cannot be opened. */
static lcf_status open_file(lcf_request_log *log)
{
    struct stat info;

    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (log->fd < 0)
        return LCF_EIO;
    if (!mend(log, &info)) {
        close(log->fd);
        log->fd = -1;
        return LCF_EIO;
    }
    log->bytes = (uint64_t)info.st_size;
    return LCF_OK;
}

lcf_status lcf_request_log_open(lcf_request_log **out, const char *path, double share,
                                uint64_t bytes_max, lcf_err *err)
{
    lcf_request_log *log = lcf_alloc_zero(1, sizeof(*log));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!log)
        return LCF_FAIL(err, LCF_ENOMEM, "request log");
    pthread_mutex_init(&log->mutex, NULL);
    log->fd = -1;
    log->all = share >= 1.0;
    log->limit = log->all ? 0 : (uint64_t)(share * 18446744073709551616.0);
    log->bytes_max = bytes_max;
    log->path = lcf_strdup(path);
    if (!log->path)
        status = LCF_FAIL(err, LCF_ENOMEM, "request log");
    else if (getrandom(&log->start, sizeof(log->start), 0) != (ssize_t)sizeof(log->start))
        status = LCF_FAIL_ERRNO(err, "random numbers");
    else if (open_file(log))
        status = LCF_FAIL_ERRNO(err, "cannot open the request log %s", path);
    if (status)
        lcf_request_log_close(log);
    else
        *out = log;
    return status;
}

void lcf_request_log_close(lcf_request_log *log)
{
    if (!log)
        return;
    if (log->fd >= 0)
        close(log->fd);
    pthread_mutex_destroy(&log->mutex);
    free(log->path);
    free(log);
}

void lcf_request_log_next_id(char out[LCF_REQUEST_ID_BYTES], lcf_request_log *log)
{
    snprintf(out, LCF_REQUEST_ID_BYTES, "%016" PRIx64 "%016" PRIx64, log->start,
             (uint64_t)atomic_fetch_add(&log->count, 1));
}

bool lcf_request_log_wants(const lcf_request_log *log, const char *id)
{
    return log->all || lcf_hash64(id, strlen(id), 0) < log->limit;
}

/* ---- files ---- */

/* "<path>.<n>", or the path itself for 0. */
static char *numbered(const lcf_request_log *log, int n)
{
    lcf_buf name = LCF_BUF_INIT;

    lcf_buf_append_text(&name, log->path);
    if (n)
        lcf_buf_printf(&name, ".%d", n);
    return lcf_buf_take(&name);
}

static void rotate(lcf_request_log *log)
{
    close(log->fd);
    log->fd = -1;
    for (int n = LCF_REQUEST_LOG_FILES; n > 0; n--) {
        char *from = numbered(log, n - 1), *to = numbered(log, n);

        if (from && to)
            rename(from, to); /* one that is not there yet is fine */
        free(from);
        free(to);
    }
}

/* What did not go in whole is cut off again. */
static lcf_status append(lcf_request_log *log, const lcf_buf *line)
{
    ssize_t n;

    if (log->fd >= 0 && log->bytes && log->bytes + line->len > log->bytes_max)
        rotate(log);
    if (log->fd < 0 && open_file(log))
        return LCF_EIO;
    do
        n = write(log->fd, line->data, line->len);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)line->len) {
        log->bytes += line->len;
        return LCF_OK;
    }
    if (n > 0 && ftruncate(log->fd, (off_t)log->bytes))
        errno = EIO;
    return LCF_EIO;
}

/* ---- lines ---- */

static void write_member(lcf_buf *out, const char *key, const char *text)
{
    lcf_buf_printf(out, ",\"%s\":", key);
    lcf_wire_write_string(out, text);
}

/* An object of texts, where there are any. */
static void write_values(lcf_buf *out, const char *key, const lcf_rank_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            lcf_buf_append_char(out, ',');
        else
            lcf_buf_printf(out, ",\"%s\":{", key);
        lcf_wire_write_string(out, values[i].name);
        lcf_buf_append_char(out, ':');
        lcf_wire_write_string(out, values[i].value);
    }
    if (n)
        lcf_buf_append_char(out, '}');
}

/* What else a replay needs to ask the same. */
static void write_asked(lcf_buf *out, const lcf_rank_request *request)
{
    if (request->time)
        lcf_buf_printf(out, ",\"asked_time\":%" PRId64, request->time);
    if (request->strict)
        lcf_buf_append_text(out, ",\"strict\":true");
    if (request->k)
        lcf_buf_printf(out, ",\"k\":%" PRIu32, request->k);
    if (!request->history)
        return;
    lcf_buf_append_text(out, ",\"history\":[");
    for (size_t i = 0; i < request->history_n; i++) {
        lcf_buf_append_text(out, i ? "," : "");
        lcf_wire_write_string(out, request->history[i]);
    }
    lcf_buf_append_char(out, ']');
}

/* The ranking is deterministic: every item is where it stands with probability 1. */
static void write_line(lcf_buf *out, const char *id, const lcf_rank_request *request,
                       const lcf_rank_response *response, double arm_propensity)
{
    lcf_buf_reset(out);
    lcf_buf_printf(out, "{\"kind\":\"request\",\"version\":1,\"request_id\":\"%s\"", id);
    if (request->user_id && *request->user_id)
        write_member(out, "user_id", request->user_id);
    lcf_buf_printf(out, ",\"time\":%lld", (long long)time(NULL));
    write_member(out, "generation", response->generation);
    write_member(out, "arm", response->arm);
    lcf_buf_printf(out, ",\"arm_propensity\":%.9g,\"policy\":\"ranking\"", arm_propensity);
    write_values(out, "context", request->context, request->context_n);
    write_values(out, "user_features", request->user_features, request->user_features_n);
    write_asked(out, request);
    lcf_buf_append_text(out, ",\"candidates\":[");
    for (size_t i = 0; i < response->results_n; i++) {
        lcf_buf_append_text(out, i ? ",{\"item_id\":" : "{\"item_id\":");
        lcf_wire_write_string(out, response->results[i].item_id);
        lcf_buf_printf(out, ",\"score\":%.9g,\"position\":%zu,\"propensity\":1",
                       (double)response->results[i].score, i + 1);
        if (response->results[i].described)
            lcf_buf_append_text(out, ",\"described\":true");
        if (response->results[i].degraded)
            write_member(out, "degraded", response->results[i].degraded);
        lcf_buf_append_char(out, '}');
    }
    lcf_buf_append_text(out, "]}\n");
}

void lcf_request_log_write(lcf_request_log *log, lcf_buf *line, const char *id,
                           const lcf_rank_request *request, const lcf_rank_response *response,
                           double arm_propensity)
{
    lcf_status status;

    write_line(line, id, request, response, arm_propensity);
    pthread_mutex_lock(&log->mutex);
    status = line->status ? line->status : append(log, line);
    if (status && !log->complained)
        lcf_log(LCF_LOG_ERROR, "the request log %s cannot be written: %s", log->path,
                line->status ? lcf_status_text(status) : strerror(errno));
    log->complained = status != LCF_OK;
    pthread_mutex_unlock(&log->mutex);
}
