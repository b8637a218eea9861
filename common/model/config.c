/*
 * The ranker's configuration: what may stand in it, and its JSON in weights files.
 *
 * Invariant: a configuration that passed the check names sizes whose products fit; nothing of a
 * text is used before that.
 */
#include "common/base/json.h"
#include "common/base/str.h"
#include "common/model/backbone.h"
#include "common/model/codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_HIDDEN 65536u

static lcf_status check_range(const char *name, uint32_t value, uint32_t min, uint32_t max,
                              lcf_err *err)
{
    if (value < min || value > max)
        return LCF_FAIL(err, LCF_EINVAL, "ranker configuration: %s is %u, not in %u..%u", name,
                        value, min, max);
    return LCF_OK;
}

static lcf_status check_name(const char *what, const char *name,
                             const lcf_ranker_kind *(*kind)(size_t i), lcf_err *err)
{
    lcf_buf known = LCF_BUF_INIT;

    for (size_t i = 0; kind(i); i++) {
        if (name && !strcmp(name, kind(i)->name)) {
            lcf_buf_dispose(&known);
            return LCF_OK;
        }
        lcf_buf_printf(&known, " %s", kind(i)->name);
    }
    LCF_FAIL(err, LCF_EINVAL, "ranker configuration: there is no %s '%s'; there are:%s", what,
             name ? name : "", lcf_buf_text(&known));
    lcf_buf_dispose(&known);
    return LCF_EINVAL;
}

static lcf_status check_sizes(const lcf_ranker_config *c, lcf_err *err)
{
    const unsigned needs = lcf_ranker_side_needs(c->side);
    const struct {
        const char *name;
        uint32_t value, min, max;
    } ranges[] = {
        {"users_n", c->users_n, 1, UINT32_MAX - 1},
        {"items_n", c->items_n, 1, UINT32_MAX / LCF_EVENT_LABELS_N - 1},
        {"brands_n", c->brands_n, 1, UINT32_MAX - 1},
        {"categories_n", c->categories_n, 1, UINT32_MAX - 1},
        {"text_dim", c->text_dim, needs & LCF_RANKER_VECTORS ? 1 : 0, SIZE_MAX_HIDDEN},
        {"cot_dim", c->cot_dim, needs & LCF_RANKER_EXAMPLES ? 1 : 0, SIZE_MAX_HIDDEN},
        {"dim", c->dim, 2, 4096},
        {"k", c->k, 1, LCF_EXAMPLES_K_MAX},
        {"layers_n", c->layers_n, 1, LCF_RANKER_LAYERS_MAX},
        {"heads_n", c->heads_n, 1, 64},
        {"att_hidden[0]", c->att_hidden[0], 1, SIZE_MAX_HIDDEN},
        {"att_hidden[1]", c->att_hidden[1], 1, SIZE_MAX_HIDDEN},
        {"head_hidden[0]", c->head_hidden[0], 1, SIZE_MAX_HIDDEN},
        {"head_hidden[1]", c->head_hidden[1], 1, SIZE_MAX_HIDDEN},
        {"cin_hidden[0]", c->cin_hidden[0], 2, SIZE_MAX_HIDDEN},
        {"cin_hidden[1]", c->cin_hidden[1], 2, SIZE_MAX_HIDDEN},
        {"cin_hidden[2]", c->cin_hidden[2], 1, SIZE_MAX_HIDDEN},
        {"cross_layers_n", c->cross_layers_n, 1, LCF_RANKER_LAYERS_MAX},
        {"mix_layers_n", c->mix_layers_n, 1, LCF_RANKER_LAYERS_MAX},
        {"experts_n", c->experts_n, 1, 1024},
        {"rank", c->rank, 1, 1024},
        {"inter_dim", c->inter_dim, 1, SIZE_MAX_HIDDEN},
        {"inter_heads_n", c->inter_heads_n, 1, 64},
        {"bst_hidden", c->bst_hidden, 1, SIZE_MAX_HIDDEN},
        {"bst_heads_n", c->bst_heads_n, 1, 64},
        {"graph_layers_n", c->graph_layers_n, 0, LCF_RANKER_LAYERS_MAX},
        {"text_hidden", c->text_hidden, 1, SIZE_MAX_HIDDEN},
        {"x_hidden", c->x_hidden, 1, SIZE_MAX_HIDDEN},
        {"ffn_hidden", c->ffn_hidden, 1, SIZE_MAX_HIDDEN},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        lcf_status status =
            check_range(ranges[i].name, ranges[i].value, ranges[i].min, ranges[i].max, err);
        if (status)
            return status;
    }
    return LCF_OK;
}

static lcf_status check_field(const lcf_ranker_config *c, size_t i, lcf_err *err)
{
    const lcf_ranker_field *f = &c->fields[i];
    const bool ids = !f->dim, shares = f->table == LCF_FIELD_TABLE_FIELD;
    const uint32_t rows_min = ids ? (f->table == LCF_FIELD_TABLE_OWN ? 2 : 0) : !f->frozen;

    if (!memchr(f->name, '\0', sizeof(f->name)) || !*f->name ||
        f->name[strspn(f->name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
        return LCF_FAIL(err, LCF_EINVAL, "ranker configuration: field %zu has no name", i);
    if (f->owner >= LCF_FIELD_OWNERS_N || f->table > LCF_FIELD_TABLE_CATEGORY ||
        f->dim > LCF_FIELD_VECTOR_MAX || f->rows < rows_min || f->rows > LCF_FIELD_ROWS_MAX ||
        (!ids && f->table != LCF_FIELD_TABLE_OWN))
        return LCF_FAIL(err, LCF_EINVAL, "ranker configuration: field %s is out of range", f->name);
    if (shares && (f->shares >= i || c->fields[f->shares].dim ||
                   c->fields[f->shares].table != LCF_FIELD_TABLE_OWN))
        return LCF_FAIL(err, LCF_EINVAL,
                        "ranker configuration: field %s shares the table of no earlier field",
                        f->name);
    return LCF_OK;
}

lcf_status lcf_ranker_config_check(const lcf_ranker_config *c, lcf_err *err)
{
    lcf_status status = check_name("backbone", c->backbone, lcf_ranker_backbone, err);

    if (!status)
        status = check_name("side module", c->side, lcf_ranker_side, err);
    if (!status)
        status = check_sizes(c, err);
    if (!status && c->fields_n > LCF_FIELDS_MAX)
        status = LCF_FAIL(err, LCF_EINVAL, "ranker configuration: %zu fields", c->fields_n);
    for (size_t i = 0; !status && i < c->fields_n; i++)
        status = check_field(c, i, err);
    if (status)
        return status;
    if (c->dim % (2 * c->heads_n))
        return LCF_FAIL(err, LCF_EINVAL,
                        "ranker configuration: dim %u is no multiple of twice heads_n %u", c->dim,
                        c->heads_n);
    if (lcf_ranker_side_needs(c->side) & LCF_RANKER_EXAMPLES && c->text_dim != c->cot_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "ranker configuration: one map serves item texts and CoTs, so text_dim %u "
                        "and cot_dim %u must be equal; encode both with the same encoder",
                        c->text_dim, c->cot_dim);
    if (!(c->dropout >= 0.0f && c->dropout < 1.0f))
        return LCF_FAIL(err, LCF_EINVAL, "ranker configuration: dropout %g is not in [0, 1)",
                        (double)c->dropout);
    if (!(c->code_scale > 0.0f && c->code_scale < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "ranker configuration: code_scale %g is not above 0",
                        (double)c->code_scale);
    if (!(c->rec_weight >= 0.0f && c->rec_weight < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL,
                        "ranker configuration: rec_weight %g is negative or not "
                        "finite",
                        (double)c->rec_weight);
    return LCF_OK;
}

static const char *const ORDERS[] = {"key", "similarity", "time"};

const char *lcf_example_order_name(lcf_example_order order)
{
    return ORDERS[order];
}

lcf_status lcf_example_order_parse(lcf_example_order *out, const char *name, lcf_err *err)
{
    for (size_t i = 0; i < sizeof(ORDERS) / sizeof(ORDERS[0]); i++)
        if (!strcmp(name, ORDERS[i])) {
            *out = (lcf_example_order)i;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EINVAL, "examples go by key, similarity or time, not by '%s'", name);
}

lcf_example_options lcf_ranker_retrieval(const lcf_ranker_config *c)
{
    return (lcf_example_options){c->k, c->balanced, c->mode, c->by, 0.0};
}

/* The one list of what a configuration holds besides the names of its parts: u32 fields. */
#define CONFIG_U32(X)                   \
    X("users_n", users_n)               \
    X("items_n", items_n)               \
    X("brands_n", brands_n)             \
    X("categories_n", categories_n)     \
    X("text_dim", text_dim)             \
    X("cot_dim", cot_dim)               \
    X("dim", dim)                       \
    X("layers_n", layers_n)             \
    X("heads_n", heads_n)               \
    X("att_hidden_0", att_hidden[0])    \
    X("att_hidden_1", att_hidden[1])    \
    X("head_hidden_0", head_hidden[0])  \
    X("head_hidden_1", head_hidden[1])  \
    X("cin_hidden_0", cin_hidden[0])    \
    X("cin_hidden_1", cin_hidden[1])    \
    X("cin_hidden_2", cin_hidden[2])    \
    X("cross_layers_n", cross_layers_n) \
    X("mix_layers_n", mix_layers_n)     \
    X("experts_n", experts_n)           \
    X("rank", rank)                     \
    X("inter_dim", inter_dim)           \
    X("inter_heads_n", inter_heads_n)   \
    X("bst_hidden", bst_hidden)         \
    X("bst_heads_n", bst_heads_n)       \
    X("text_hidden", text_hidden)       \
    X("x_hidden", x_hidden)             \
    X("ffn_hidden", ffn_hidden)

/* The data's own fields as a list, or NULL when out of memory. */
static json_t *fields_to_json(const lcf_ranker_config *c)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < c->fields_n; i++) {
        const lcf_ranker_field *f = &c->fields[i];
        json_t *field = json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:b}", "name", f->name, "owner",
                                  (int)f->owner, "table", (int)f->table, "shares",
                                  (json_int_t)f->shares, "rows", (json_int_t)f->rows, "dim",
                                  (json_int_t)f->dim, "frozen", (int)f->frozen);

        if (json_array_append_new(list, field)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

lcf_status lcf_ranker_config_to_text(char **out, const lcf_ranker_config *c, lcf_err *err)
{
    const lcf_example_options rule = lcf_ranker_retrieval(c);
    json_t *json = json_object();
    int failed = !json;

    *out = NULL;
#define PUT(name, field) failed |= json_object_set_new(json, name, json_integer(c->field));
    CONFIG_U32(PUT)
#undef PUT
    failed |= json_object_set_new(json, "backbone", json_string(c->backbone));
    failed |= json_object_set_new(json, "side", json_string(c->side));
    failed |= json_object_set_new(json, "fields", fields_to_json(c));
    failed |= json_object_set_new(json, "order", json_string(lcf_example_order_name(c->order)));
    failed |= json_object_set_new(json, "retrieval", lcf_example_options_to_json(&rule));
    failed |= json_object_set_new(json, "history_labels", json_boolean(c->history_labels));
    if (c->head_norm)
        failed |= json_object_set_new(json, "head_norm", json_true());
    failed |= json_object_set_new(json, "rec_weight", json_real((double)c->rec_weight));
    failed |= json_object_set_new(json, "dropout", json_real((double)c->dropout));
    if (lcf_ranker_takes_graph(c->backbone))
        failed |= json_object_set_new(json, "graph_layers_n", json_integer(c->graph_layers_n));
    if (lcf_ranker_has_codes(c->backbone))
        failed |= json_object_set_new(json, "code_scale", json_real((double)c->code_scale));
    if (!failed)
        *out = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(json);
    if (!*out)
        return LCF_FAIL(err, LCF_ENOMEM, "configuration of a ranker as text");
    return LCF_OK;
}

static lcf_status get_u32(uint32_t *out, const json_t *json, const char *name, lcf_err *err)
{
    uint64_t value;
    lcf_status status = lcf_json_u64(&value, json, name, err);

    if (status)
        return status;
    if (value > UINT32_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s is out of range", name);
    *out = (uint32_t)value;
    return LCF_OK;
}

static lcf_status field_of_json(lcf_ranker_field *f, const json_t *json, lcf_err *err)
{
    const char *name;
    uint32_t owner = 0, table = 0;
    lcf_status status = lcf_json_str(&name, json, "name", err);

    if (!status && strlen(name) >= sizeof(f->name))
        status = LCF_FAIL(err, LCF_EFORMAT, "the name of a field is too long");
    if (!status)
        memcpy(f->name, name, strlen(name) + 1);
    if (!status)
        status = get_u32(&owner, json, "owner", err);
    if (!status)
        status = get_u32(&table, json, "table", err);
    if (!status)
        status = get_u32(&f->shares, json, "shares", err);
    if (!status)
        status = get_u32(&f->rows, json, "rows", err);
    if (!status)
        status = get_u32(&f->dim, json, "dim", err);
    if (!status && (owner >= LCF_FIELD_OWNERS_N || table > LCF_FIELD_TABLE_CATEGORY))
        status = LCF_FAIL(err, LCF_EFORMAT, "owner or table of a field is out of range");
    if (status)
        return status;
    f->owner = (lcf_field_owner)owner;
    f->table = (lcf_field_table)table;
    f->frozen = json_is_true(json_object_get(json, "frozen"));
    return LCF_OK;
}

static lcf_status fields_of_json(lcf_ranker_config *c, const json_t *list, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (!list)
        return LCF_OK; /* no field of its own */
    if (!json_is_array(list) || json_array_size(list) > LCF_FIELDS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "fields is no list of at most %d", LCF_FIELDS_MAX);
    c->fields_n = json_array_size(list);
    for (size_t i = 0; i < c->fields_n && !status; i++)
        status = field_of_json(&c->fields[i], json_array_get(list, i), err);
    return status;
}

/* How examples are found and in which order they enter. */
static lcf_status get_examples(lcf_ranker_config *c, const json_t *json, lcf_err *err)
{
    lcf_example_options rule;
    const char *order;
    lcf_status status = lcf_example_options_of_json(&rule, json_object_get(json, "retrieval"), err);

    if (!status)
        status = lcf_json_str(&order, json, "order", err);
    if (status)
        return status;
    if (lcf_example_order_parse(&c->order, order, err))
        return LCF_FAIL(err, LCF_EFORMAT, "there is no order '%s' of examples", order);
    c->k = rule.k;
    c->balanced = rule.balanced;
    c->mode = rule.mode;
    c->by = rule.by;
    return LCF_OK;
}

lcf_status lcf_ranker_of_file(lcf_status status, lcf_err *err)
{
    if (status != LCF_EINVAL)
        return status;
    if (err)
        err->status = LCF_EFORMAT;
    return LCF_EFORMAT;
}

static lcf_status config_of_json(lcf_ranker_config *c, const json_t *json, lcf_err *err)
{
    const json_t *backbone = json_object_get(json, "backbone"),
                 *side = json_object_get(json, "side");
    double rec_weight, dropout, code_scale = 1.0;
    lcf_status status = LCF_OK;

    if (!json_is_string(backbone) || !json_is_string(side))
        return LCF_FAIL(err, LCF_EFORMAT, "backbone or side is missing or no text");
    c->backbone = json_string_value(backbone);
    c->side = json_string_value(side);
#define GET(name, field) \
    if (!status)         \
        status = get_u32(&c->field, json, name, err);
    CONFIG_U32(GET)
#undef GET
    if (!status)
        status = fields_of_json(c, json_object_get(json, "fields"), err);
    if (!status)
        status = get_examples(c, json, err);
    if (!status)
        status = lcf_json_f64(&rec_weight, json, "rec_weight", err);
    if (!status)
        status = lcf_json_f64(&dropout, json, "dropout", err);
    if (!status && json_object_get(json, "graph_layers_n"))
        status = get_u32(&c->graph_layers_n, json, "graph_layers_n", err);
    if (!status && json_object_get(json, "code_scale"))
        status = lcf_json_f64(&code_scale, json, "code_scale", err);
    if (status)
        return status;
    c->history_labels = json_is_true(json_object_get(json, "history_labels"));
    c->head_norm = json_is_true(json_object_get(json, "head_norm"));
    c->rec_weight = (float)rec_weight;
    c->dropout = (float)dropout;
    c->code_scale = (float)code_scale;
    status = lcf_ranker_of_file(lcf_ranker_config_check(c, err), err);
    if (status)
        return status;
    c->backbone = lcf_ranker_find_backbone(c->backbone)->kind.name; /* the text's do not last */
    c->side = lcf_ranker_find_side(c->side)->kind.name;
    return LCF_OK;
}

lcf_status lcf_ranker_config_of_text(lcf_ranker_config *c, const char *text, size_t n, lcf_err *err)
{
    json_t *json = NULL;
    lcf_status status = lcf_json_parse(&json, text, n, "config", err);

    if (!status)
        status = config_of_json(c, json, err);
    json_decref(json);
    return status;
}
