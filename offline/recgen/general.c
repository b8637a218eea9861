/*
 * Reader of general instruction files; see the header. After a failure the rows before it are there
 * and the object must be disposed of.
 */
#include "offline/recgen/general.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

static lcf_status add_row(lcf_general *g, lcf_str instruction, lcf_str input, lcf_str output,
                          lcf_err *err)
{
    const lcf_str parts[3] = {instruction, input, output};

    if (!output.len || !instruction.len) {
        g->empty_n++;
        return LCF_OK;
    }
    if (lcf_grow((void **)&g->cuts, &g->cuts_capacity, 3 * g->n + 4, sizeof(*g->cuts)))
        return LCF_FAIL(err, LCF_ENOMEM, "general instruction %zu", g->n + 1);
    g->cuts[3 * g->n] = g->text.len;
    for (size_t i = 0; i < 3; i++) {
        lcf_buf_append(&g->text, parts[i].data, parts[i].len);
        g->cuts[3 * g->n + i + 1] = g->text.len;
    }
    if (g->text.status)
        return LCF_FAIL(err, g->text.status, "general instruction %zu", g->n + 1);
    g->n++;
    return LCF_OK;
}

/* A string member; an optional one may be missing or null. */
static lcf_status member(lcf_str *out, const json_t *object, const char *key, bool optional,
                         const char *source, size_t row, lcf_err *err)
{
    const json_t *value = json_object_get(object, key);

    *out = (lcf_str){"", 0};
    if (optional && (!value || json_is_null(value)))
        return LCF_OK;
    if (!json_is_string(value))
        return LCF_FAIL(err, LCF_EFORMAT, "%s, row %zu: \"%s\" must be a string", source, row, key);
    *out = (lcf_str){json_string_value(value), json_string_length(value)};
    return LCF_OK;
}

static lcf_status add_answer(lcf_general *g, lcf_str instruction, const json_t *object,
                             const char *source, size_t row, lcf_err *err)
{
    lcf_str input, output;
    lcf_status status;

    if (!json_is_object(object))
        return LCF_FAIL(err, LCF_EFORMAT, "%s, row %zu: not an object", source, row);
    status = member(&input, object, "input", true, source, row, err);
    if (!status)
        status = member(&output, object, "output", false, source, row, err);
    return status ? status : add_row(g, instruction, input, output, err);
}

static lcf_status add_object(lcf_general *g, const json_t *object, const char *source, size_t row,
                             lcf_err *err)
{
    const json_t *instances;
    lcf_str instruction;
    lcf_status status;

    if (!json_is_object(object))
        return LCF_FAIL(err, LCF_EFORMAT, "%s, row %zu: not an object", source, row);
    status = member(&instruction, object, "instruction", false, source, row, err);
    if (status)
        return status;
    instances = json_object_get(object, "instances");
    if (!instances)
        return add_answer(g, instruction, object, source, row, err);
    if (!json_is_array(instances))
        return LCF_FAIL(err, LCF_EFORMAT, "%s, row %zu: \"instances\" must be a list", source, row);
    for (size_t i = 0; i < json_array_size(instances) && !status; i++)
        status = add_answer(g, instruction, json_array_get(instances, i), source, row, err);
    return status;
}

static lcf_status parse_list(lcf_general *g, const char *text, size_t len, const char *source,
                             lcf_err *err)
{
    json_t *list = NULL;
    lcf_status status = lcf_json_parse(&list, text, len, source, err);

    for (size_t i = 0; !status && i < json_array_size(list); i++)
        status = add_object(g, json_array_get(list, i), source, i + 1, err);
    json_decref(list);
    return status;
}

static lcf_status parse_line(lcf_general *g, const char *text, size_t len, const char *source,
                             size_t line, lcf_err *err)
{
    json_t *object = NULL;
    lcf_status status = lcf_json_parse(&object, text, len, source, err);

    if (status)
        lcf_err_prefix(err, "line %zu", line);
    else
        status = add_object(g, object, source, line, err);
    json_decref(object);
    return status;
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r", text[i]) || !text[i])
            return false;
    return true;
}

lcf_status lcf_general_parse(lcf_general *g, const char *text, size_t len, const char *source,
                             lcf_err *err)
{
    size_t start = 0, line = 1;
    lcf_status status = LCF_OK;

    while (start < len && strchr(" \t\r\n", text[start]) && text[start])
        start++;
    if (start < len && text[start] == '[')
        return parse_list(g, text, len, source, err);
    for (size_t at = 0; at < len && !status; line++) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        if (!is_blank(text + at, n))
            status = parse_line(g, text + at, n, source, line, err);
        at += n + 1;
    }
    return status;
}

lcf_status lcf_general_load(lcf_general *g, const char *path, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = lcf_file_read(&text, path, LCF_GENERAL_FILE_BYTES_MAX, err);

    if (!status)
        status = lcf_general_parse(g, lcf_buf_text(&text), text.len, path, err);
    lcf_buf_dispose(&text);
    return status;
}

lcf_general_row lcf_general_get(const lcf_general *g, size_t idx)
{
    const uint64_t *cut = g->cuts + 3 * idx;
    const char *text = lcf_buf_text(&g->text);

    return (lcf_general_row){{text + cut[0], cut[1] - cut[0]},
                             {text + cut[1], cut[2] - cut[1]},
                             {text + cut[2], cut[3] - cut[2]}};
}

void lcf_general_dispose(lcf_general *g)
{
    lcf_buf_dispose(&g->text);
    free(g->cuts);
    *g = (lcf_general)LCF_GENERAL_INIT;
}
