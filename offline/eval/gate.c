/*
 * Gate conditions. The grammar is one comparison, on purpose: several conditions are several
 * options, and each one's outcome stands in the report.
 */
#include "offline/eval/gate.h"

#include "common/base/mem.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void lcf_figures_add(lcf_figures *f, const char *stem, const char *suffix, double value)
{
    LCF_ASSERT(f->n < LCF_FIGURES_MAX);
    snprintf(f->list[f->n].name, LCF_FIGURE_NAME_MAX, "%s%s", stem, suffix);
    f->list[f->n++].value = value;
}

const lcf_figure *lcf_figures_find(const lcf_figures *f, const char *name, size_t len)
{
    for (size_t i = 0; i < f->n; i++)
        if (strlen(f->list[i].name) == len && !memcmp(f->list[i].name, name, len))
            return &f->list[i];
    return NULL;
}

static lcf_status unknown_name(const char *text, size_t len, const lcf_figures *known, lcf_err *err)
{
    lcf_buf names = LCF_BUF_INIT;

    for (size_t i = 0; i < known->n; i++)
        lcf_buf_printf(&names, "%s%s", i ? " " : "", known->list[i].name);
    LCF_FAIL(err, LCF_EUSAGE, "--require '%s': there is no figure '%.*s'; there are: %s", text,
             (int)len, text + strspn(text, " \t"), lcf_buf_text(&names));
    lcf_buf_dispose(&names);
    return LCF_EUSAGE;
}

static const char *const OP_TEXT[] = {
    [LCF_GATE_GT] = ">", [LCF_GATE_GE] = ">=", [LCF_GATE_LT] = "<", [LCF_GATE_LE] = "<="};

const char *lcf_gate_op_text(lcf_gate_op op)
{
    return OP_TEXT[op];
}

static size_t parse_op(lcf_gate_op *op, const char *at)
{
    if (*at != '<' && *at != '>')
        return 0;
    if (at[1] == '=') {
        *op = *at == '>' ? LCF_GATE_GE : LCF_GATE_LE;
        return 2;
    }
    *op = *at == '>' ? LCF_GATE_GT : LCF_GATE_LT;
    return 1;
}

lcf_status lcf_gate_parse(lcf_gate_condition *out, const char *text, const lcf_figures *known,
                          lcf_err *err)
{
    const char *at = text + strspn(text, " \t"), *name = at;
    const lcf_figure *figure;
    size_t name_len, op_len, number_len;

    memset(out, 0, sizeof(*out));
    while (isalnum((unsigned char)*at) || *at == '_')
        at++;
    name_len = (size_t)(at - name);
    at += strspn(at, " \t");
    op_len = parse_op(&out->op, at);
    at += op_len;
    at += strspn(at, " \t");
    number_len = strcspn(at, " \t");
    if (!name_len || !op_len || at[number_len + strspn(at + number_len, " \t")] ||
        !lcf_parse_f64(at, number_len, &out->bound))
        return LCF_FAIL(err, LCF_EUSAGE,
                        "--require '%s' is not of the form 'name > number' (or >=, <, <=), e.g. "
                        "'auc_lift_low > 0'",
                        text);
    figure = lcf_figures_find(known, name, name_len);
    if (!figure)
        return unknown_name(text, name_len, known, err);
    memcpy(out->name, figure->name, sizeof(out->name));
    return LCF_OK;
}

static bool holds(double value, lcf_gate_op op, double bound)
{
    switch (op) {
    case LCF_GATE_GT:
        return value > bound;
    case LCF_GATE_GE:
        return value >= bound;
    case LCF_GATE_LT:
        return value < bound;
    case LCF_GATE_LE:
        return value <= bound;
    }
    return false;
}

lcf_status lcf_gate_parse_all(lcf_gate_condition **out, const char *const *texts, size_t n,
                              const lcf_figures *known, lcf_err *err)
{
    lcf_status status = LCF_OK;

    *out = lcf_alloc_zero(n + 1, sizeof(**out));
    if (!*out)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu gate conditions", n);
    for (size_t i = 0; i < n && !status; i++)
        status = lcf_gate_parse(*out + i, texts[i], known, err);
    return status;
}

lcf_status lcf_gate_describe(lcf_manifest *m, const char *const *texts, size_t n, lcf_err *err)
{
    lcf_buf all = LCF_BUF_INIT;
    lcf_status status;

    for (size_t i = 0; i < n; i++)
        lcf_buf_printf(&all, "%s%s", i ? "; " : "", texts[i]);
    status = all.status ? LCF_FAIL(err, LCF_ENOMEM, "gate conditions")
                        : lcf_manifest_param_str(m, "require", lcf_buf_text(&all), err);
    lcf_buf_dispose(&all);
    return status;
}

bool lcf_gate_check(lcf_gate_condition *conditions, size_t n, const lcf_figures *figures)
{
    bool all = true;

    for (size_t i = 0; i < n; i++) {
        lcf_gate_condition *c = &conditions[i];
        const lcf_figure *figure = lcf_figures_find(figures, c->name, strlen(c->name));
        c->value = figure ? figure->value : NAN;
        c->met = holds(c->value, c->op, c->bound);
        all = all && c->met;
    }
    return all;
}
