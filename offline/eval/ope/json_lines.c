/* Lines of JSON objects: see json_lines.h. */
#include "offline/eval/ope/json_lines.h"

#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

static lcf_status add_line(lcf_ope_log *log, uint64_t line, const char *text, size_t n,
                           lcf_ope_object add, void *arg, lcf_err *err)
{
    char reason[128] = "not a JSON object";
    json_error_t error = {.text = ""};
    json_t *object;
    lcf_status status;

    if (n > LCF_OPE_LINE_BYTES_MAX)
        return lcf_ope_log_bad_row(log, line, "longer than 16 MiB", err);
    object = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        snprintf(reason, sizeof(reason), "column %d: not valid JSON: %.80s", error.column,
                 error.text);
    status = json_is_object(object) ? add(arg, line, object, err)
                                    : lcf_ope_log_bad_row(log, line, reason, err);
    json_decref(object);
    return status;
}

lcf_status lcf_ope_json_lines(lcf_ope_log *log, const char *data, size_t bytes_n,
                              lcf_ope_object add, void *arg, lcf_err *err)
{
    uint64_t line = 1;
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < bytes_n && !status; line++) {
        const char *newline = memchr(data + at, '\n', bytes_n - at);
        size_t n = newline ? (size_t)(newline - data) - at : bytes_n - at;
        if (!is_blank(data + at, n))
            status = add_line(log, line, data + at, n, add, arg, err);
        at += n + 1;
    }
    return status;
}

/* The name of a number, or "name=value" of a category. */
static void append_name(lcf_buf *names, const char *key, const json_t *value)
{
    lcf_buf_append_text(names, key);
    if (json_is_string(value)) {
        lcf_buf_append_char(names, '=');
        lcf_buf_append(names, json_string_value(value), json_string_length(value));
    }
}

lcf_status lcf_ope_context_read(bool *kept, lcf_ope_context *c, lcf_ope_row *row, lcf_ope_log *log,
                                json_t *object, lcf_err *err)
{
    const char *key;
    json_t *value;
    size_t n = 0;

    *kept = true;
    if (lcf_grow((void **)&c->features, &c->capacity, json_object_size(object) + 1,
                 sizeof(*c->features)))
        return LCF_FAIL(err, LCF_ENOMEM, "context of %s", log->path);
    lcf_buf_reset(&c->names);
    json_object_foreach(object, key, value)
    {
        size_t begin = c->names.len;
        if (!json_is_number(value) && !json_is_string(value)) {
            *kept = false;
            return lcf_ope_log_bad_row(log, row->line,
                                       "a member of 'context' is neither a number nor a text", err);
        }
        append_name(&c->names, key, value);
        c->features[n].name = (lcf_str){NULL, c->names.len - begin};
        c->features[n].numeric = json_is_number(value);
        c->features[n++].value = json_is_number(value) ? json_number_value(value) : 1;
    }
    if (c->names.status)
        return LCF_FAIL(err, LCF_ENOMEM, "context of %s", log->path);
    for (size_t i = 0, at = 0; i < n; at += c->features[i++].name.len)
        c->features[i].name.data = lcf_buf_text(&c->names) + at;
    row->features = c->features;
    row->features_n = n;
    return LCF_OK;
}

void lcf_ope_context_dispose(lcf_ope_context *context)
{
    free(context->features);
    lcf_buf_dispose(&context->names);
}
