/*
 * Reader of dialogue files; see the header. A row is appended turn by turn and taken back when it
 * turns out to be empty or bad. After a failure the rows before it are there and the object must be
 * disposed of.
 */
#include "offline/recgen/dialogues.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    lcf_dialogues *g;
    lcf_dialogue_form form;
    const char *source;
    size_t line;              /* of the row at hand */
    bool empty;               /* an answer of the row is empty */
    size_t turns_n, text_len; /* of the rows before it */
} reader;

#define BAD(r, err, ...) bad(r, err, LCF_FAIL(err, LCF_EFORMAT, __VA_ARGS__))

/* Puts file and line before a message. */
static lcf_status bad(const reader *r, lcf_err *err, lcf_status status)
{
    char place[512];

    snprintf(place, sizeof(place), "%s:%zu", r->source, r->line);
    lcf_err_prefix(err, "%s", place);
    return status;
}

/* ---- rows ---- */

static void row_begin(reader *r)
{
    r->turns_n = r->g->turns_n;
    r->text_len = r->g->text.len;
    r->empty = false;
}

static lcf_status add_turn(reader *r, lcf_role role, lcf_str text, lcf_err *err)
{
    lcf_dialogues *g = r->g;

    if (g->turns_n - r->turns_n == LCF_DIALOGUE_TURNS_MAX)
        return BAD(r, err, "more than %d turns", LCF_DIALOGUE_TURNS_MAX);
    if (lcf_grow((void **)&g->cuts, &g->cuts_capacity, g->turns_n + 2, sizeof(*g->cuts)) ||
        lcf_grow((void **)&g->roles, &g->roles_capacity, g->turns_n + 1, sizeof(*g->roles)))
        return LCF_FAIL(err, LCF_ENOMEM, "dialogue %zu", g->n + 1);
    lcf_buf_append(&g->text, text.data, text.len);
    if (g->text.status)
        return LCF_FAIL(err, g->text.status, "dialogue %zu", g->n + 1);
    if (!text.len && (role == LCF_ROLE_ASSISTANT || role == LCF_ROLE_USER))
        r->empty = true;
    g->cuts[0] = 0;
    g->roles[g->turns_n++] = (uint8_t)role;
    g->cuts[g->turns_n] = g->text.len;
    return LCF_OK;
}

/* The turns since row_begin are a row, or are taken back where one of them says nothing. */
static lcf_status row_end(reader *r, lcf_err *err)
{
    lcf_dialogues *g = r->g;

    if (r->empty) {
        g->empty_n++;
        g->turns_n = r->turns_n;
        g->text.len = r->text_len;
        return LCF_OK;
    }
    if (lcf_grow((void **)&g->first, &g->first_capacity, g->n + 2, sizeof(*g->first)))
        return LCF_FAIL(err, LCF_ENOMEM, "dialogue %zu", g->n + 1);
    g->first[0] = 0;
    g->first[++g->n] = g->turns_n;
    return LCF_OK;
}

/* ---- Alpaca ---- */

/* A string member; an optional one may be missing or null. */
static lcf_status member(lcf_str *out, reader *r, const json_t *object, const char *key,
                         bool optional, lcf_err *err)
{
    const json_t *value = json_object_get(object, key);

    *out = (lcf_str){"", 0};
    if (optional && (!value || json_is_null(value)))
        return LCF_OK;
    if (!json_is_string(value))
        return BAD(r, err, "\"%s\" must be a string", key);
    *out = (lcf_str){json_string_value(value), json_string_length(value)};
    return LCF_OK;
}

static lcf_status add_system(reader *r, const json_t *object, lcf_err *err)
{
    lcf_str text;
    lcf_status status = member(&text, r, object, "system", true, err);

    return status || !text.len ? status : add_turn(r, LCF_ROLE_SYSTEM, text, err);
}

static lcf_status add_instance(reader *r, lcf_str instruction, const json_t *object, lcf_err *err)
{
    lcf_str input, output;
    lcf_status status;

    if (!json_is_object(object))
        return BAD(r, err, "an instance must be an object");
    row_begin(r);
    status = add_system(r, object, err);
    if (!status)
        status = member(&input, r, object, "input", true, err);
    if (!status)
        status = member(&output, r, object, "output", false, err);
    if (!status)
        status = add_turn(r, LCF_ROLE_USER, instruction, err);
    if (!status && input.len)
        status = add_turn(r, LCF_ROLE_INPUT, input, err);
    if (!status)
        status = add_turn(r, LCF_ROLE_ASSISTANT, output, err);
    return status ? status : row_end(r, err);
}

static lcf_status add_alpaca(reader *r, const json_t *object, lcf_err *err)
{
    const json_t *instances = json_object_get(object, "instances");
    lcf_str instruction;
    lcf_status status = member(&instruction, r, object, "instruction", false, err);

    if (status)
        return status;
    if (!instances)
        return add_instance(r, instruction, object, err);
    if (!json_is_array(instances))
        return BAD(r, err, "\"instances\" must be a list");
    for (size_t i = 0; i < json_array_size(instances) && !status; i++)
        status = add_instance(r, instruction, json_array_get(instances, i), err);
    return status;
}

/* ---- conversations ---- */

static const struct {
    const char *name;
    lcf_role role;
} ROLES[] = {{"system", LCF_ROLE_SYSTEM},    {"developer", LCF_ROLE_SYSTEM},
             {"human", LCF_ROLE_USER},       {"user", LCF_ROLE_USER},
             {"gpt", LCF_ROLE_ASSISTANT},    {"assistant", LCF_ROLE_ASSISTANT},
             {"chatgpt", LCF_ROLE_ASSISTANT}};

static lcf_status role_of(lcf_role *out, reader *r, lcf_str name, size_t turn, lcf_err *err)
{
    for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++)
        if (strlen(ROLES[i].name) == name.len && !memcmp(ROLES[i].name, name.data, name.len)) {
            *out = ROLES[i].role;
            return LCF_OK;
        }
    return BAD(r, err, "turn %zu: role '%.*s'; only system, user and assistant can be learned from",
               turn, name.len > 40 ? 40 : (int)name.len, name.data);
}

/* What a message says: a string, or OpenAI's list of parts, which must be text; these are put
 * together in *joined. */
static lcf_status said(lcf_str *out, lcf_buf *joined, reader *r, const json_t *message,
                       lcf_err *err)
{
    const bool openai = r->form == LCF_FORM_OPENAI;
    const json_t *parts = json_object_get(message, "content");
    lcf_status status = LCF_OK;

    if (!openai || !json_is_array(parts))
        return member(out, r, message, openai ? "content" : "value", false, err);
    for (size_t i = 0; i < json_array_size(parts) && !status; i++) {
        const json_t *part = json_array_get(parts, i);
        lcf_str type, text;

        status = member(&type, r, part, "type", false, err);
        if (!status && (type.len != 4 || memcmp(type.data, "text", 4)))
            status = BAD(r, err, "a part of type '%.*s'; only text can be learned from",
                         type.len > 40 ? 40 : (int)type.len, type.data);
        if (!status)
            status = member(&text, r, part, "text", false, err);
        if (!status)
            lcf_buf_append(joined, text.data, text.len);
    }
    if (!status && joined->status)
        status = LCF_FAIL(err, joined->status, "dialogue %zu", r->g->n + 1);
    *out = (lcf_str){lcf_buf_text(joined), joined->len};
    return status;
}

static lcf_status add_turn_of_role(reader *r, lcf_role role, lcf_str text, size_t turn,
                                   lcf_role *last, lcf_err *err)
{
    if (role == LCF_ROLE_SYSTEM && r->g->turns_n == r->turns_n)
        return add_turn(r, role, text, err);
    if (role == LCF_ROLE_SYSTEM || role == *last)
        return BAD(r, err, "turn %zu: user and assistant must take turns, the user first", turn);
    *last = role;
    return add_turn(r, role, text, err);
}

static lcf_status add_message(reader *r, const json_t *message, size_t turn, lcf_role *last,
                              lcf_err *err)
{
    lcf_str name, text;
    lcf_buf joined = LCF_BUF_INIT;
    lcf_role role = LCF_ROLE_USER;
    lcf_status status;

    if (!json_is_object(message))
        return BAD(r, err, "turn %zu is not an object", turn);
    status = member(&name, r, message, r->form == LCF_FORM_OPENAI ? "role" : "from", false, err);
    if (!status)
        status = role_of(&role, r, name, turn, err);
    if (!status)
        status = said(&text, &joined, r, message, err);
    if (!status)
        status = add_turn_of_role(r, role, text, turn, last, err);
    lcf_buf_dispose(&joined);
    return status;
}

static lcf_status add_conversation(reader *r, const json_t *object, lcf_err *err)
{
    const char *key = r->form == LCF_FORM_OPENAI ? "messages" : "conversations";
    const json_t *list = json_object_get(object, key);
    lcf_role last = LCF_ROLE_ASSISTANT;
    lcf_status status;

    if (!json_is_array(list))
        return BAD(r, err, "\"%s\" must be a list of turns", key);
    row_begin(r);
    status = add_system(r, object, err);
    for (size_t i = 0; i < json_array_size(list) && !status; i++)
        status = add_message(r, json_array_get(list, i), i + 1, &last, err);
    if (status)
        return status;
    if (last == LCF_ROLE_USER && r->g->turns_n - r->turns_n > 2) {
        r->g->text.len =
            r->g->cuts[--r->g->turns_n]; /* a last word of the user: no answer to learn */
        last = LCF_ROLE_ASSISTANT;
    }
    if (last == LCF_ROLE_USER || r->g->turns_n < r->turns_n + 2 ||
        r->g->roles[r->g->turns_n - 1] != LCF_ROLE_ASSISTANT)
        return BAD(r, err, "no answer of the assistant");
    return row_end(r, err);
}

static lcf_status add_object(reader *r, const json_t *object, lcf_err *err)
{
    if (!json_is_object(object))
        return BAD(r, err, "not an object");
    return r->form == LCF_FORM_ALPACA ? add_alpaca(r, object, err)
                                      : add_conversation(r, object, err);
}

/* ---- files ---- */

/* Moves *at to the start of the next element of the list that it is in, counting lines; jansson
 * does not keep places. The text is known to be JSON. */
static void to_next_element(size_t *at, size_t *line, const char *text, size_t len)
{
    size_t depth = 0;
    bool string = false;

    for (; *at < len; (*at)++) {
        char c = text[*at];
        *line += c == '\n';
        if (string) {
            if (c == '\\')
                (*at)++;
            string = c != '"';
        } else if (c == '"') {
            string = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (c == ']' || c == '}') {
            depth--;
        } else if (c == ',' && !depth) {
            (*at)++;
            break;
        }
    }
    for (; *at < len && strchr(" \t\r\n", text[*at]) && text[*at]; (*at)++)
        *line += text[*at] == '\n';
}

static lcf_status parse_list(reader *r, const char *text, size_t len, size_t begin, lcf_err *err)
{
    json_t *list = NULL;
    size_t at = begin + 1, line = 1, rows;
    lcf_status status = lcf_json_parse(&list, text, len, r->source, err);

    if (status)
        return status;
    rows = json_array_size(list);
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    for (; at < len && strchr(" \t\r\n", text[at]) && text[at]; at++)
        line += text[at] == '\n';
    for (size_t i = 0; !status && i < rows; i++) {
        r->line = line;
        status = add_object(r, json_array_get(list, i), err);
        to_next_element(&at, &line, text, len);
    }
    json_decref(list);
    return status;
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r", text[i]) || !text[i])
            return false;
    return true;
}

static lcf_status parse_line(reader *r, const char *text, size_t len, lcf_err *err)
{
    json_t *object = NULL;
    lcf_status status;

    if (is_blank(text, len))
        return LCF_OK;
    status = lcf_json_parse(&object, text, len, "the row", err);
    status = status ? bad(r, err, status) : add_object(r, object, err);
    json_decref(object);
    return status;
}

/* ---- plain text ---- */

/* The end of a row that begins at `text`: all of it, or at a blank, never within a character. */
static size_t text_row_end(const char *text, size_t len)
{
    size_t n = LCF_TEXT_ROW_BYTES_MAX;

    if (len <= n)
        return len;
    for (size_t i = n; i > n / 2; i--)
        if (text[i] == ' ' || text[i] == '\n')
            return i;
    while (n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static lcf_status add_paragraph(reader *r, const char *text, size_t len, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (!lcf_utf8_valid(text, len))
        return BAD(r, err, "not UTF-8");
    while (len && !status) {
        size_t n = text_row_end(text, len);
        row_begin(r);
        status = add_turn(r, LCF_ROLE_ASSISTANT, (lcf_str){text, n}, err);
        if (!status)
            status = row_end(r, err);
        for (; n < len && strchr(" \n", text[n]) && text[n]; n++)
            ;
        text += n;
        len -= n;
    }
    return status;
}

static lcf_status parse_text(reader *r, const char *text, size_t len, lcf_err *err)
{
    size_t start = 0, end = 0, line = 1; /* of the paragraph */
    lcf_status status = LCF_OK;

    for (size_t at = 0; at <= len && !status; line++) {
        const char *newline = at < len ? memchr(text + at, '\n', len - at) : NULL;
        size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        bool blank = is_blank(text + at, n);
        if (blank && end > start)
            status = add_paragraph(r, text + start, end - start, err);
        if (blank) {
            start = end = at + n + 1;
        } else {
            if (start == at)
                r->line = line;
            end = at + n;
        }
        at += n + 1;
    }
    if (!status && end > start)
        status = add_paragraph(r, text + start, end - start, err);
    return status;
}

lcf_status lcf_dialogues_parse(lcf_dialogues *g, lcf_dialogue_form form, const char *text,
                               size_t len, const char *source, lcf_err *err)
{
    reader r = {g, form, source, 0, false, 0, 0};
    size_t start = 0;
    lcf_status status = LCF_OK;

    if (form == LCF_FORM_TEXT)
        return parse_text(&r, text, len, err);
    while (start < len && strchr(" \t\r\n", text[start]) && text[start])
        start++;
    if (start < len && text[start] == '[')
        return parse_list(&r, text, len, start, err);
    for (size_t at = 0; at < len && !status;) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        r.line++;
        status = parse_line(&r, text + at, n, err);
        at += n + 1;
    }
    return status;
}

lcf_status lcf_dialogues_add(lcf_dialogues *g, const lcf_turn *turns, size_t n, lcf_err *err)
{
    reader r = {g, LCF_FORM_TEXT, "row", 0, false, 0, 0};
    lcf_status status = LCF_OK;

    row_begin(&r);
    for (size_t i = 0; i < n && !status; i++)
        status = add_turn(&r, turns[i].role, turns[i].text, err);
    return status ? status : row_end(&r, err);
}

void lcf_dialogues_reset(lcf_dialogues *g)
{
    lcf_buf_reset(&g->text);
    g->n = g->turns_n = g->empty_n = 0;
}

lcf_status lcf_dialogues_load(lcf_dialogues *g, lcf_dialogue_form form, const char *path,
                              lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = lcf_file_read(&text, path, LCF_DIALOGUE_FILE_BYTES_MAX, err);

    if (!status)
        status = lcf_dialogues_parse(g, form, lcf_buf_text(&text), text.len, path, err);
    lcf_buf_dispose(&text);
    return status;
}

size_t lcf_dialogues_turns_n(const lcf_dialogues *g, size_t row)
{
    return (size_t)(g->first[row + 1] - g->first[row]);
}

lcf_turn lcf_dialogues_turn(const lcf_dialogues *g, size_t row, size_t turn)
{
    size_t at = (size_t)g->first[row] + turn;

    return (lcf_turn){
        (lcf_role)g->roles[at],
        {lcf_buf_text(&g->text) + g->cuts[at], (size_t)(g->cuts[at + 1] - g->cuts[at])}};
}

void lcf_dialogues_dispose(lcf_dialogues *g)
{
    lcf_buf_dispose(&g->text);
    free(g->cuts);
    free(g->roles);
    free(g->first);
    *g = (lcf_dialogues)LCF_DIALOGUES_INIT;
}
