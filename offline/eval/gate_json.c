/* The outcome of a gate as JSON: see gate_json.h. */
#include "offline/eval/gate_json.h"

#include <math.h>

json_t *lcf_gate_json(const lcf_gate_condition *conditions, size_t n, bool passed)
{
    json_t *list;

    if (!n)
        return json_null();
    list = json_array();
    for (size_t i = 0; i < n; i++) {
        const lcf_gate_condition *c = &conditions[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:f, s:o, s:b}", "name", c->name, "op",
                            lcf_gate_op_text(c->op), "bound", c->bound, "value",
                            isfinite(c->value) ? json_real(c->value) : json_null(), "met", c->met));
    }
    return json_pack("{s:b, s:o}", "passed", passed, "conditions", list);
}

static const char *text_at(const json_t *condition, const char *key)
{
    const char *text = json_string_value(json_object_get(condition, key));

    return text ? text : "?";
}

static void append_condition(lcf_buf *out, const json_t *condition)
{
    const json_t *value = json_object_get(condition, "value");

    lcf_buf_printf(out, "%s %s %g", text_at(condition, "name"), text_at(condition, "op"),
                   json_number_value(json_object_get(condition, "bound")));
    if (json_is_number(value))
        lcf_buf_printf(out, " (it is %.6g)", json_number_value(value));
    else
        lcf_buf_append_text(out, " (it is not defined on these rows)");
}

void lcf_gate_summary(lcf_buf *out, const json_t *gate)
{
    const json_t *list = json_object_get(gate, "conditions");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *condition = json_array_get(list, i);
        lcf_buf_append_text(out, json_is_true(json_object_get(condition, "met")) ? "  met     "
                                                                                 : "  NOT MET ");
        append_condition(out, condition);
        lcf_buf_append_char(out, '\n');
    }
}

lcf_status lcf_gate_verdict(const json_t *gate, lcf_err *err)
{
    const json_t *list = json_object_get(gate, "conditions");
    lcf_buf missed = LCF_BUF_INIT;

    if (!json_is_object(gate) || json_is_true(json_object_get(gate, "passed")))
        return LCF_OK;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *condition = json_array_get(list, i);
        if (json_is_true(json_object_get(condition, "met")))
            continue;
        lcf_buf_append_text(&missed, missed.len ? "; " : "");
        append_condition(&missed, condition);
    }
    LCF_FAIL(err, LCF_EGATE, "gate not passed: %s", lcf_buf_text(&missed));
    lcf_buf_dispose(&missed);
    return LCF_EGATE;
}
