/* From a path and a target policy to a log: see load.h. */
#include "offline/eval/ope/load.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/eval/ope/target.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PEEK_BYTES 65536

static const char *const OBD_FILES[] = {"all.csv", "men.csv", "women.csv"};

/* ---- which file, which format ---- */

static lcf_status resolve_folder(char **file, lcf_ope_format *format, const char *path,
                                 lcf_err *err)
{
    char *candidate = lcf_path_join(path, "impressions.tsv");
    size_t found = 0;

    *file = NULL;
    *format = LCF_OPE_SIMULATED;
    if (candidate && lcf_path_exists(candidate)) {
        *file = candidate;
        return LCF_OK;
    }
    free(candidate);
    *format = LCF_OPE_OBD;
    for (size_t i = 0; i < sizeof(OBD_FILES) / sizeof(OBD_FILES[0]); i++) {
        candidate = lcf_path_join(path, OBD_FILES[i]);
        if (candidate && lcf_path_exists(candidate) && !found++)
            *file = candidate;
        else
            free(candidate);
    }
    if (found == 1)
        return LCF_OK;
    free(*file);
    *file = NULL;
    return LCF_FAIL(err, LCF_ENOENT,
                    found
                        ? "%s holds several campaigns (all.csv, men.csv, women.csv): name one of "
                          "the files"
                        : "%s holds neither impressions.tsv (llmcf simulate) nor all.csv, men.csv "
                          "or women.csv (a policy of the Open Bandit data)",
                    path);
}

lcf_status lcf_ope_resolve(char **file, lcf_ope_format *format, const char *path, lcf_err *err)
{
    struct stat info;

    *file = NULL;
    if (stat(path, &info))
        return LCF_FAIL_ERRNO(err, "%s", path);
    if (S_ISDIR(info.st_mode))
        return resolve_folder(file, format, path, err);
    *format = LCF_OPE_AUTO;
    *file = lcf_strdup(path);
    return *file ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path of %s", path);
}

static bool holds(const char *data, size_t n, const char *text)
{
    return n && memmem(data, n, text, strlen(text)); /* an empty file has no bytes to point to */
}

/* By the first line. */
static lcf_ope_format guess(const lcf_map *map)
{
    const char *data = (const char *)map->data;
    size_t n = map->bytes_n < PEEK_BYTES ? map->bytes_n : PEEK_BYTES;
    const char *newline = n ? memchr(data, '\n', n) : NULL;

    n = newline ? (size_t)(newline - data) : n;
    if (n && data[0] == '{')
        return holds(data, n, "\"kind\"") ? LCF_OPE_REQUESTS : LCF_OPE_JSONL;
    if (holds(data, n, "request_id\tuser_id"))
        return LCF_OPE_SIMULATED;
    return holds(data, n, "item_id") && holds(data, n, "click") ? LCF_OPE_OBD : LCF_OPE_CSV;
}

/* ---- reading ---- */

static lcf_status no_target(const lcf_ope_log *log, const char *target, lcf_err *err)
{
    if (!target)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s: the log has no target probabilities: give a policy with --target",
                        log->path);
    return LCF_FAIL(err, LCF_EINVAL,
                    "%s: there is no target '%s' for this kind of log; there are uniform, logging, "
                    "estimated:PATH, for a request log scores:PATH, for a simulated log also "
                    "popular and best",
                    log->path, target);
}

/* Targets that any log can have; the others come with the log. */
static bool is_general(const char *target)
{
    return !strcmp(target, "uniform") || !strcmp(target, "logging") ||
           !strncmp(target, "estimated:", 10);
}

/* The truth values the uniform policy over what was on offer, which the log does not tell. */
static bool is_of_truth(const char *target)
{
    return target && (!is_general(target) || !strcmp(target, "uniform"));
}

static lcf_status read_simulated(lcf_ope_log *out, const char *file, const lcf_map *map,
                                 const lcf_ope_source *source, lcf_err *err)
{
    const char *slash = strrchr(file, '/');
    bool own = is_of_truth(source->target);
    char *dir = slash ? lcf_strndup(file, (size_t)(slash - file)) : lcf_strdup(".");
    char *truth = dir ? lcf_path_join(dir, "truth.lcf") : NULL;
    lcf_status status = truth ? lcf_ope_read_simulated(out, (const char *)map->data, map->bytes_n,
                                                       truth, own ? source->target : NULL, err)
                              : LCF_FAIL(err, LCF_ENOMEM, "path of %s", file);

    free(dir);
    free(truth);
    return status;
}

static lcf_status read_requests(lcf_ope_log *out, const lcf_map *map, const lcf_ope_source *source,
                                lcf_err *err)
{
    lcf_ope_scores target = {NULL, NULL, 0, source->temperature};
    lcf_map scores = {NULL, 0};
    lcf_status status = LCF_OK;

    if (source->target && !is_general(source->target) && strncmp(source->target, "scores:", 7))
        return no_target(out, source->target, err);
    if (source->target && !strncmp(source->target, "scores:", 7)) {
        target.path = source->target + 7;
        status = lcf_map_open(&scores, target.path, err);
        target.data = (const char *)scores.data;
        target.bytes_n = scores.bytes_n;
        if (!status && !target.bytes_n)
            status = LCF_FAIL(err, LCF_EFORMAT, "%s: no scores", target.path);
    }
    if (!status)
        status = lcf_ope_read_requests(out, (const char *)map->data, map->bytes_n, &target, err);
    lcf_map_close(&scores);
    return status;
}

static lcf_status read_file(lcf_ope_log *out, bool *of_log, const char *file, lcf_ope_format format,
                            const lcf_ope_source *source, lcf_err *err)
{
    lcf_map map = {NULL, 0};
    const char *data;
    lcf_status status = lcf_map_open(&map, file, err);

    if (status)
        return status;
    data = (const char *)map.data;
    format = format == LCF_OPE_AUTO ? guess(&map) : format;
    *of_log = (format == LCF_OPE_SIMULATED && is_of_truth(source->target)) ||
              (format == LCF_OPE_REQUESTS && source->target && !is_general(source->target));
    switch (format) {
    case LCF_OPE_JSONL:
        status = lcf_ope_read_jsonl(out, data, map.bytes_n, err);
        break;
    case LCF_OPE_OBD:
        status = lcf_ope_read_obd(out, data, map.bytes_n, err);
        break;
    case LCF_OPE_SIMULATED:
        status = read_simulated(out, file, &map, source, err);
        break;
    case LCF_OPE_REQUESTS:
        status = read_requests(out, &map, source, err);
        break;
    default:
        status = lcf_ope_read_csv(out, data, map.bytes_n, err);
    }
    lcf_map_close(&map);
    return status ? status : lcf_ope_log_finish(out, err);
}

/* *of_log: the reader took the target from what the source names. */
static lcf_status load_file(lcf_ope_log *out, bool *of_log, const char *path,
                            const lcf_ope_source *source, lcf_err *err)
{
    lcf_ope_format format;
    char *file;
    lcf_status status = lcf_ope_resolve(&file, &format, path, err);

    if (!status)
        status = lcf_ope_log_init(out, file, &source->options, err);
    if (!status)
        status = read_file(out, of_log, file,
                           source->format == LCF_OPE_AUTO ? format : source->format, source, err);
    free(file);
    return status;
}

/* ---- the target policy ---- */

static lcf_status estimate_target(lcf_ope_log *log, const lcf_ope_source *source, lcf_err *err)
{
    lcf_ope_source other = {source->target + strlen("estimated:"), source->format, "logging", 0,
                            source->options};
    lcf_ope_log shown = {0};
    bool of_log;
    lcf_status status = load_file(&shown, &of_log, other.path, &other, err);

    if (!status)
        status = lcf_ope_target_estimated(log, &shown, err);
    lcf_ope_log_dispose(&shown);
    return status;
}

static lcf_status apply_target(lcf_ope_log *log, const lcf_ope_source *source, bool of_log,
                               lcf_err *err)
{
    const char *target = source->target;

    if (of_log || !target)
        return log->has_targets || log->has_target_positions ? LCF_OK : no_target(log, target, err);
    if (!strcmp(target, "logging")) {
        lcf_ope_target_logging(log);
        return LCF_OK;
    }
    if (!strcmp(target, "uniform"))
        return lcf_ope_target_uniform(log, err);
    if (!strncmp(target, "estimated:", 10))
        return estimate_target(log, source, err);
    return no_target(log, target, err);
}

lcf_status lcf_ope_load(lcf_ope_log *out, const lcf_ope_source *source, lcf_err *err)
{
    bool of_log;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = load_file(out, &of_log, source->path, source, err);
    if (!status)
        status = apply_target(out, source, of_log, err);
    return status ? status : lcf_ope_log_check_support(out, err);
}
