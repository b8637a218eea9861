/* What a report was made from. */
#include "offline/eval/sources.h"

#include "common/base/hash.h"
#include "common/base/manifest.h"

#include <string.h>
#include <sys/stat.h>

static json_t *copy(const json_t *identity, const char *key)
{
    json_t *value = json_object_get(identity, key);

    return value ? json_incref(value) : json_null();
}

static lcf_status add_folder(json_t *list, const char *role, const char *path, lcf_err *err)
{
    char id[65];
    json_t *manifest = NULL;
    const json_t *identity;
    json_t *source;
    lcf_status status = lcf_manifest_read(id, &manifest, path, err);

    if (status)
        return status;
    identity = json_object_get(manifest, "identity");
    source =
        json_pack("{s:s, s:s, s:s, s:{s:o, s:o, s:o, s:o}}", "role", role, "path", path, "id", id,
                  "made_by", "verb", copy(identity, "verb"), "version", copy(identity, "version"),
                  "parameters", copy(identity, "parameters"), "inputs", copy(identity, "inputs"));
    json_decref(manifest);
    return source && !json_array_append_new(list, source)
               ? LCF_OK
               : LCF_FAIL(err, LCF_EINVAL, "the path '%s' is not valid UTF-8", path);
}

static lcf_status add_file(json_t *list, const char *role, const char *path, lcf_err *err)
{
    char id[LCF_SHA256_HEX_BYTES];
    json_t *source;
    lcf_status status = lcf_sha256_file(id, path, err);

    if (status)
        return status;
    source = json_pack("{s:s, s:s, s:s, s:n}", "role", role, "path", path, "id", id, "made_by");
    return source && !json_array_append_new(list, source)
               ? LCF_OK
               : LCF_FAIL(err, LCF_EINVAL, "the path '%s' is not valid UTF-8", path);
}

lcf_status lcf_sources_add(json_t *list, const char *role, const char *path, lcf_err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return LCF_FAIL_ERRNO(err, "cannot read %s (%s)", path, role);
    return S_ISDIR(st.st_mode) ? add_folder(list, role, path, err)
                               : add_file(list, role, path, err);
}

static void append_value(lcf_buf *out, const json_t *value)
{
    const char *text = json_string_value(value);

    if (text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64)
        lcf_buf_printf(out, "%.12s", text);
    else if (text)
        lcf_buf_append_text(out, text);
    else if (json_is_integer(value))
        lcf_buf_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        lcf_buf_printf(out, "%g", json_real_value(value));
    else
        lcf_buf_append_text(out, json_is_true(value) ? "true" : "false");
}

void lcf_sources_text(lcf_buf *out, const json_t *object)
{
    const char *key, *separator = "";
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        lcf_buf_printf(out, "%s%s=", separator, key);
        append_value(out, value);
        separator = ", ";
    }
}
