/* jansson with our limits and messages. */
#include "common/base/json.h"

#include "common/base/file.h"
#include "common/base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)256 << 20)

lcf_status lcf_json_parse(json_t **out, const char *text, size_t n, const char *source,
                          lcf_err *err)
{
    json_error_t error;

    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%d:%d: not valid JSON: %s", source, error.line,
                        error.column, error.text);
    return LCF_OK;
}

lcf_status lcf_json_load(json_t **out, const char *path, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = lcf_file_read(&text, path, FILE_BYTES_MAX, err);

    *out = NULL;
    if (!status)
        status = lcf_json_parse(out, lcf_buf_text(&text), text.len, path, err);
    lcf_buf_dispose(&text);
    return status;
}

lcf_status lcf_json_save(const char *path, const json_t *json, lcf_err *err)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    lcf_buf buf = LCF_BUF_INIT;
    lcf_status status;

    if (!text)
        return LCF_FAIL(err, LCF_ENOMEM, "JSON for %s", path);
    lcf_buf_printf(&buf, "%s\n", text);
    free(text);
    status = buf.status ? LCF_FAIL(err, LCF_ENOMEM, "JSON for %s", path)
                        : lcf_file_write(path, buf.data, buf.len, err);
    lcf_buf_dispose(&buf);
    return status;
}

lcf_status lcf_json_load_in(json_t **out, const char *dir, const char *name, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status =
        path ? lcf_json_load(out, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

lcf_status lcf_json_save_in(const char *dir, const char *name, const json_t *json, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status =
        path ? lcf_json_save(path, json, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

json_t *lcf_json_without_nulls(json_t *object)
{
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, name, value)
    {
        if (json_is_null(value))
            json_object_del(object, name);
    }
    return object;
}

static lcf_status member(json_t **out, const json_t *object, const char *key, lcf_err *err)
{
    *out = json_object_get(object, key);
    if (!*out)
        return LCF_FAIL(err, LCF_EFORMAT, "'%s' is missing", key);
    return LCF_OK;
}

lcf_status lcf_json_str(const char **out, const json_t *object, const char *key, lcf_err *err)
{
    json_t *value;
    lcf_status status = member(&value, object, key, err);

    if (status)
        return status;
    *out = json_string_value(value);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_EFORMAT, "'%s' must be a string", key);
}

lcf_status lcf_json_u64(uint64_t *out, const json_t *object, const char *key, lcf_err *err)
{
    json_t *value;
    lcf_status status = member(&value, object, key, err);

    if (status)
        return status;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return LCF_FAIL(err, LCF_EFORMAT, "'%s' must be a whole number of at least 0", key);
    *out = (uint64_t)json_integer_value(value);
    return LCF_OK;
}

lcf_status lcf_json_f64(double *out, const json_t *object, const char *key, lcf_err *err)
{
    json_t *value;
    lcf_status status = member(&value, object, key, err);

    if (status)
        return status;
    if (!json_is_number(value))
        return LCF_FAIL(err, LCF_EFORMAT, "'%s' must be a number", key);
    *out = json_number_value(value);
    return LCF_OK;
}
