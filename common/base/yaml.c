/* YAML as JSON values: see yaml.h. */
#include "common/base/yaml.h"

#include "common/base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_document_t document;
    const char *path;
    size_t nodes_n;
    lcf_err *err;
} reader;

static lcf_status convert(json_t **out, reader *r, yaml_node_t *node, size_t depth);

/* Null, a truth value or a number where the text is one, else NULL. */
static json_t *typed(const char *text, size_t len)
{
    int64_t integer;
    double real;

    if (!len || !strcmp(text, "~") || !strcmp(text, "null"))
        return json_null();
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return json_boolean(*text == 't');
    if (lcf_parse_i64(text, len, &integer))
        return json_integer(integer);
    if (lcf_parse_f64(text, len, &real) && isfinite(real))
        return json_real(real);
    return NULL;
}

static lcf_status convert_scalar(json_t **out, reader *r, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    const size_t len = node->data.scalar.length;

    *out = NULL;
    if (strlen(text) != len)
        return LCF_FAIL(r->err, LCF_EFORMAT, "%s:%zu: a text holds a NUL byte", r->path,
                        node->start_mark.line + 1);
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        *out = typed(text, len);
    if (!*out)
        *out = json_stringn(text, len);
    return *out ? LCF_OK : LCF_FAIL(r->err, LCF_ENOMEM, "a value of %s", r->path);
}

static lcf_status convert_sequence(json_t **out, reader *r, const yaml_node_t *node, size_t depth)
{
    *out = json_array();
    if (!*out)
        return LCF_FAIL(r->err, LCF_ENOMEM, "a list of %s", r->path);
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        json_t *value = NULL;
        lcf_status status = convert(&value, r, yaml_document_get_node(&r->document, *i), depth + 1);

        if (!status && json_array_append_new(*out, value))
            status = LCF_FAIL(r->err, LCF_ENOMEM, "a list of %s", r->path);
        if (status)
            return status;
    }
    return LCF_OK;
}

static lcf_status convert_pair(json_t *object, reader *r, const yaml_node_pair_t *pair,
                               size_t depth)
{
    yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
    json_t *value = NULL;
    const char *name;
    lcf_status status;

    if (!key || key->type != YAML_SCALAR_NODE)
        return LCF_FAIL(r->err, LCF_EFORMAT, "%s:%zu: a key must be plain text", r->path,
                        key ? key->start_mark.line + 1 : 0);
    name = (const char *)key->data.scalar.value;
    if (json_object_get(object, name))
        return LCF_FAIL(r->err, LCF_EFORMAT, "%s:%zu: '%s' stands there twice", r->path,
                        key->start_mark.line + 1, name);
    status = convert(&value, r, yaml_document_get_node(&r->document, pair->value), depth + 1);
    if (!status && json_object_set_new(object, name, value))
        status =
            LCF_FAIL(r->err, LCF_EFORMAT, "%s:%zu: '%s' cannot be kept: not UTF-8, or no memory",
                     r->path, key->start_mark.line + 1, name);
    return status;
}

static lcf_status convert_mapping(json_t **out, reader *r, const yaml_node_t *node, size_t depth)
{
    *out = json_object();
    if (!*out)
        return LCF_FAIL(r->err, LCF_ENOMEM, "a mapping of %s", r->path);
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        lcf_status status = convert_pair(*out, r, p, depth);

        if (status)
            return status;
    }
    return LCF_OK;
}

/* *out may be set after a failure, too: the caller's. */
static lcf_status convert(json_t **out, reader *r, yaml_node_t *node, size_t depth)
{
    json_t *value = NULL;
    lcf_status status;

    *out = NULL;
    if (!node) {
        *out = json_null();
        return LCF_OK;
    }
    if (depth > LCF_YAML_DEPTH_MAX || ++r->nodes_n > LCF_YAML_NODES_MAX)
        return LCF_FAIL(r->err, LCF_EFORMAT, "%s:%zu: nested or repeated too often", r->path,
                        node->start_mark.line + 1);
    if (node->type == YAML_SCALAR_NODE)
        status = convert_scalar(&value, r, node);
    else if (node->type == YAML_SEQUENCE_NODE)
        status = convert_sequence(&value, r, node, depth);
    else
        status = convert_mapping(&value, r, node, depth);
    if (status)
        json_decref(value);
    else
        *out = value;
    return status;
}

static lcf_status load(json_t **out, FILE *f, const char *path, lcf_err *err)
{
    reader r = {.path = path, .err = err};
    yaml_parser_t parser;
    lcf_status status;

    if (!yaml_parser_initialize(&parser))
        return LCF_FAIL(err, LCF_ENOMEM, "YAML parser");
    yaml_parser_set_input_file(&parser, f);
    if (!yaml_parser_load(&parser, &r.document)) {
        status =
            LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: not valid YAML: %s", path,
                     parser.problem_mark.line + 1, parser.problem ? parser.problem : "unreadable");
    } else {
        status = convert(out, &r, yaml_document_get_root_node(&r.document), 0);
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    return status;
}

lcf_status lcf_yaml_load(json_t **out, const char *path, lcf_err *err)
{
    FILE *f = fopen(path, "rb");
    lcf_status status;

    *out = NULL;
    if (!f)
        return LCF_FAIL_ERRNO(err, "cannot open %s", path);
    status = load(out, f, path, err);
    fclose(f);
    return status;
}
