/* Summaries of the verbs: see summary.h. */
#include "offline/cmd/summary.h"

#include "common/base/cli.h"

#include <stdio.h>

long long lcf_cmd_count(const json_t *stats, const char *key)
{
    return (long long)json_integer_value(json_object_get(stats, key));
}

double lcf_cmd_real(const json_t *stats, const char *key)
{
    return json_number_value(json_object_get(stats, key));
}

lcf_status lcf_cmd_print_json(const json_t *json, lcf_err *err)
{
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) || putchar('\n') < 0 ||
        fflush(stdout))
        return LCF_FAIL(err, LCF_EIO, "cannot write to stdout");
    return LCF_OK;
}

int lcf_cmd_finish(const char *verb, lcf_status status, json_t *report, bool json, lcf_err *err)
{
    if (!status && json)
        status = lcf_cmd_print_json(report, err);
    json_decref(report);
    return lcf_cli_finish(verb, status, err);
}
