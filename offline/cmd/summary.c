/* Summaries of the verbs: see summary.h. */
#include "offline/cmd/summary.h"

#include <stdio.h>

long long lcf_cmd_count(const json_t *stats, const char *key)
{
    return (long long)json_integer_value(json_object_get(stats, key));
}

lcf_status lcf_cmd_print_json(const json_t *json, lcf_err *err)
{
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) || putchar('\n') < 0 ||
        fflush(stdout))
        return LCF_FAIL(err, LCF_EIO, "cannot write to stdout");
    return LCF_OK;
}
