/*
 * Tables of options on top of argp.
 *
 * Every table that is parsed, and every one that it includes, becomes one argp parser with a
 * `binding` for its input: the rows, and the struct that their fields are in. The key of an option
 * is the place of its row, so there is nothing to keep in step by hand.
 */
#include "common/base/options.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_FIRST = 0x100 }; /* above every character: no option is short */

typedef struct binding {
    const lcf_option *rows;
    size_t rows_n;
    char *base;                  /* the struct */
    bool *seen;                  /* [rows_n] */
    const lcf_options *whole;    /* NULL in an included table */
    const lcf_option *operand;   /* the last row that took what is no option */
    struct argp_option *options; /* [rows_n + 1]; NULL where all rows are tables or operands */
    struct argp_child *children; /* [tables_n + 1] */
    struct argp *parsers;        /* [tables_n], of the children */
    struct binding *tables;      /* [tables_n] */
    size_t tables_n;
} binding;

static bool is_operand(const lcf_option *o)
{
    return !o->name && o->kind != LCF_KIND_TABLE;
}

/* ---- values ---- */

void lcf_cli_texts_add(lcf_cli_texts *texts, struct argp_state *state, const char *text)
{
    if (lcf_grow((void **)&texts->list, &texts->capacity, texts->n + 1, sizeof(*texts->list)))
        argp_failure(state, 1, 0, "out of memory");
    texts->list[texts->n++] = text;
}

void lcf_cli_texts_dispose(lcf_cli_texts *texts)
{
    free(texts->list);
    *texts = (lcf_cli_texts){NULL, 0, 0};
}

/* "--steps", or what the help calls an operand. */
static const char *label(char *out, size_t n, const lcf_option *o)
{
    snprintf(out, n, "%s%s", o->name ? "--" : "", o->name ? o->name : o->value);
    return out;
}

/* Stores by the field's own width. */
static void put_whole(void *at, size_t size, uint64_t value)
{
    const uint32_t v32 = (uint32_t)value;
    const uint16_t v16 = (uint16_t)value;
    const uint8_t v8 = (uint8_t)value;

    memcpy(at,
           size == 8   ? (const void *)&value
           : size == 4 ? (const void *)&v32
           : size == 2 ? (const void *)&v16
                       : (const void *)&v8,
           size);
}

static void take_whole(void *at, const lcf_option *o, const char *name, const char *text,
                       struct argp_state *state)
{
    uint64_t value;

    if (!lcf_parse_u64(text, strlen(text), &value) || value < o->whole.min || value > o->whole.max)
        argp_error(state, "%s takes a whole number from %llu to %llu, not '%s'", name,
                   (unsigned long long)o->whole.min, (unsigned long long)o->whole.max, text);
    else
        put_whole(at, o->size, value);
}

static void take_real(void *at, const lcf_option *o, const char *name, const char *text,
                      struct argp_state *state)
{
    double value;

    if (!lcf_parse_f64(text, strlen(text), &value) || value < o->real.min || value > o->real.max)
        argp_error(state, "%s takes a number from %g to %g, not '%s'", name, o->real.min,
                   o->real.max, text);
    else if (o->size == sizeof(float))
        *(float *)at = (float)value;
    else
        *(double *)at = value;
}

static const char *name_at(const lcf_option *o, size_t i)
{
    return o->kind == LCF_KIND_WORD ? o->words[i] : o->choices[i].name;
}

static void take_choice(void *at, const lcf_option *o, const char *name, const char *text,
                        struct argp_state *state)
{
    lcf_buf names = LCF_BUF_INIT;
    const char *found;
    size_t i = 0;

    for (; (found = name_at(o, i)) && strcmp(found, text); i++)
        lcf_buf_printf(&names, "%s'%s'", i ? ", " : "", found);
    if (!found)
        argp_error(state, "%s must be one of %s, not '%s'", name, lcf_buf_text(&names), text);
    else if (o->kind == LCF_KIND_WORD)
        *(const char **)at = found;
    else
        put_whole(at, o->size, o->choices[i].value);
    lcf_buf_dispose(&names);
}

static void take_list(binding *b, const lcf_option *o, const char *name, const char *text,
                      struct argp_state *state)
{
    uint64_t *values = (uint64_t *)(void *)(b->base + o->offset);
    size_t n = 0;

    for (const char *at = text;; at++) {
        const size_t len = strcspn(at, ",");

        if (n == o->list.n_max) {
            argp_error(state, "%s takes at most %zu numbers", name, n);
            return;
        }
        if (!lcf_parse_u64(at, len, &values[n]) || values[n] > INT64_MAX) {
            argp_error(state, "%s takes whole numbers with commas between, not '%s'", name, text);
            return;
        }
        n++;
        at += len;
        if (!*at)
            break;
    }
    *(size_t *)(void *)(b->base + o->list.n_offset) = n;
}

static void take(binding *b, const lcf_option *o, char *text, struct argp_state *state)
{
    void *at = b->base + o->offset;
    lcf_err err = LCF_ERR_INIT;
    char name[64];

    label(name, sizeof(name), o);
    b->seen[o - b->rows] = true;
    switch (o->kind) {
    case LCF_KIND_TEXT:
        *(const char **)at = text;
        break;
    case LCF_KIND_FLAG:
        *(bool *)at = o->flag;
        break;
    case LCF_KIND_WHOLE:
        take_whole(at, o, name, text, state);
        break;
    case LCF_KIND_REAL:
        take_real(at, o, name, text, state);
        break;
    case LCF_KIND_CHOICE:
    case LCF_KIND_WORD:
        take_choice(at, o, name, text, state);
        break;
    case LCF_KIND_LIST:
        take_list(b, o, name, text, state);
        break;
    case LCF_KIND_TEXTS:
        lcf_cli_texts_add(at, state, text);
        break;
    case LCF_KIND_PARSED:
        if (o->parse(at, text, &err))
            argp_error(state, "%s: %s", name, err.text);
        break;
    case LCF_KIND_CALL:
        o->call(b->base, text, state);
        break;
    case LCF_KIND_END:
    case LCF_KIND_ALIAS:
    case LCF_KIND_TABLE:
        break; /* argp never sees them */
    }
}

/* ---- argp's side ---- */

/* What is no option goes to the next row without a name; a row of many takes all the rest. */
static error_t take_operand(binding *b, char *text, struct argp_state *state)
{
    const lcf_option *o = b->operand ? b->operand : b->rows;

    if (!b->operand || (o->kind != LCF_KIND_TEXTS && o->kind != LCF_KIND_CALL)) {
        o += b->operand != NULL;
        while (o->kind != LCF_KIND_END && !is_operand(o))
            o++;
        if (o->kind == LCF_KIND_END)
            return ARGP_ERR_UNKNOWN;
    }
    b->operand = o;
    take(b, o, text, state);
    return 0;
}

/* The required rows that were not given, in their order. */
static void list_missing(const lcf_option **out, size_t *n, size_t max, const binding *b)
{
    size_t table = 0;

    for (size_t i = 0; i < b->rows_n; i++) {
        if (b->rows[i].kind == LCF_KIND_TABLE)
            list_missing(out, n, max, &b->tables[table++]);
        else if (b->rows[i].required && !b->seen[i] && *n < max)
            out[(*n)++] = &b->rows[i];
    }
}

static void check_required(const binding *b, struct argp_state *state)
{
    const lcf_option *missing[16];
    lcf_buf text = LCF_BUF_INIT;
    size_t n = 0;
    char name[64];

    list_missing(missing, &n, sizeof(missing) / sizeof(*missing), b);
    for (size_t i = 0; i < n; i++)
        lcf_buf_printf(&text, "%s%s",
                       !i          ? ""
                       : i + 1 < n ? ", "
                                   : " and ",
                       label(name, sizeof(name), missing[i]));
    if (n)
        argp_error(state, "%s %s needed", lcf_buf_text(&text), n > 1 ? "are" : "is");
    lcf_buf_dispose(&text);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    binding *b = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        for (size_t i = 0; i < b->tables_n; i++)
            state->child_inputs[i] = &b->tables[i];
        return 0;
    case ARGP_KEY_ARG:
        return take_operand(b, text, state);
    case ARGP_KEY_END:
        if (b->whole)
            check_required(b, state);
        if (b->whole && b->whole->check)
            b->whole->check(b->base, state);
        return 0;
    default:
        if (key < KEY_FIRST || (size_t)(key - KEY_FIRST) >= b->rows_n)
            return ARGP_ERR_UNKNOWN;
        take(b, &b->rows[key - KEY_FIRST], text, state);
        return 0;
    }
}

static void unbind(binding *b)
{
    for (size_t i = 0, used = 0; b->options && i < b->rows_n; i++)
        if (b->rows[i].name && b->options[used++].doc != b->rows[i].help)
            free((char *)(uintptr_t)b->options[used - 1].doc);
    for (size_t i = 0; b->tables && i < b->tables_n; i++)
        unbind(&b->tables[i]);
    free(b->seen);
    free(b->options);
    free(b->children);
    free(b->parsers);
    free(b->tables);
}

static lcf_status add_option(struct argp_option *out, const lcf_option *o, size_t row)
{
    lcf_buf help = LCF_BUF_INIT;

    *out = (struct argp_option){.name = o->name,
                                .key = o->kind == LCF_KIND_ALIAS ? 0 : KEY_FIRST + (int)row,
                                .arg = o->value,
                                .flags = o->kind == LCF_KIND_ALIAS ? OPTION_ALIAS : 0,
                                .doc = o->help,
                                .group = o->group};
    if (!o->more)
        return LCF_OK;
    lcf_buf_append_text(&help, o->help);
    o->more(&help);
    if (help.status)
        lcf_buf_dispose(&help);
    else
        out->doc = lcf_buf_take(&help);
    return help.status;
}

/* Makes argp's tables of the rows, and of those that they include. */
static lcf_status bind(binding *b, const lcf_option *rows, void *base)
{
    lcf_status status = LCF_OK;
    size_t option = 0, table = 0;

    *b = (binding){.rows = rows, .base = base};
    for (; rows[b->rows_n].kind != LCF_KIND_END; b->rows_n++)
        b->tables_n += rows[b->rows_n].kind == LCF_KIND_TABLE;
    b->seen = lcf_alloc_zero(b->rows_n + 1, sizeof(*b->seen));
    b->options = lcf_alloc_zero(b->rows_n + 1, sizeof(*b->options));
    b->children = lcf_alloc_zero(b->tables_n + 1, sizeof(*b->children));
    b->parsers = lcf_alloc_zero(b->tables_n + 1, sizeof(*b->parsers));
    b->tables = lcf_alloc_zero(b->tables_n + 1, sizeof(*b->tables));
    if (!b->seen || !b->options || !b->children || !b->parsers || !b->tables)
        return LCF_ENOMEM;
    for (size_t i = 0; i < b->rows_n && !status; i++) {
        const lcf_option *o = &rows[i];

        if (o->name)
            status = add_option(&b->options[option++], o, i);
        if (o->kind != LCF_KIND_TABLE)
            continue;
        status = bind(&b->tables[table], o->rows, b->base + o->offset);
        b->parsers[table] = (struct argp){.options = b->tables[table].options,
                                          .parser = parse,
                                          .children = b->tables[table].children};
        b->children[table] = (struct argp_child){&b->parsers[table], 0, o->help, o->group};
        table++;
    }
    if (!option) { /* nothing but tables: of an empty list argp's help would lose two mallocs */
        free(b->options);
        b->options = NULL;
    }
    return status;
}

/* "IN.gguf OUT.gguf TYPE" */
static void name_operands(lcf_buf *out, const lcf_option *rows)
{
    for (; rows->kind != LCF_KIND_END; rows++)
        if (is_operand(rows))
            lcf_buf_printf(out, "%s%s", out->len ? " " : "", rows->value);
}

lcf_status lcf_options_parse(const lcf_options *options, int argc, char **argv, void *arguments,
                             lcf_err *err)
{
    lcf_buf operands = LCF_BUF_INIT, doc = LCF_BUF_INIT;
    binding b;
    lcf_status status = bind(&b, options->rows, arguments);

    b.whole = options;
    name_operands(&operands, options->rows);
    lcf_buf_append_text(&doc, options->doc);
    if (options->more)
        options->more(&doc);
    if (!status)
        status = operands.status ? operands.status : doc.status;
    if (status) {
        status = LCF_FAIL(err, status, "options");
    } else {
        const struct argp argp = {.options = b.options,
                                  .parser = parse,
                                  .args_doc = operands.len ? lcf_buf_text(&operands) : NULL,
                                  .doc = lcf_buf_text(&doc),
                                  .children = b.children};

        status = lcf_cli_parse(&argp, options->verb, argc, argv, &b, err);
    }
    unbind(&b);
    lcf_buf_dispose(&operands);
    lcf_buf_dispose(&doc);
    return status;
}
