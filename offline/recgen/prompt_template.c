/*
 * Templates by one recursive walk, which checks where `out` is NULL and renders where it is not: so
 * what was checked is what is rendered.
 */
#include "offline/recgen/prompt_template.h"

#include "common/base/file.h"
#include "common/base/hash.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 8
#define HEAD "llmcf-prompt 1\n"

typedef struct walk {
    lcf_buf *out; /* NULL: only check */
    const lcf_prompt_template_facts *facts;
    lcf_str text; /* of the section */
    size_t at;
    const char *source; /* for messages: source and the whole file's beginning */
    const char *file;
    size_t *lines; /* [LCF_VALUES_N] notes where values are spoken of; NULL: does not */
    lcf_err *err;
} walk;

static const char *const NAMES[] = {
#define LCF_PROMPT_TEMPLATE_NAME(constant, name) name,
    LCF_PROMPT_TEMPLATE_VALUES(LCF_PROMPT_TEMPLATE_NAME)
#undef LCF_PROMPT_TEMPLATE_NAME
};

static size_t line_of(const char *file, const char *at)
{
    size_t line = 1;

    for (; file < at; file++)
        line += *file == '\n';
    return line;
}

#define WRONG(w, at, status, ...) wrong((w), (at), LCF_FAIL((w)->err, (status), __VA_ARGS__))

/* Puts source and line before the message. */
static lcf_status wrong(const walk *w, const char *at, lcf_status status)
{
    lcf_err_prefix(w->err, "%s:%zu", w->source, line_of(w->file, at));
    return status;
}

/* ---- tags ---- */

typedef struct tag {
    char kind; /* '#', '^', '/' or 0 for a value */
    lcf_prompt_template_value value;
    size_t begin, end; /* of {{...}} in the text */
} tag;

static lcf_status no_such_value(const walk *w, const char *at, lcf_str name)
{
    lcf_buf known = LCF_BUF_INIT;
    lcf_status status;

    for (size_t i = 0; i < LCF_VALUES_N; i++)
        lcf_buf_printf(&known, "%s%s",
                       i == 0                 ? ""
                       : i + 1 < LCF_VALUES_N ? ", "
                                              : " and ",
                       NAMES[i]);
    status = WRONG(w, at, LCF_EFORMAT, "'%.*s' is no value; there are %s",
                   (int)(name.len < 40 ? name.len : 40), name.data, lcf_buf_text(&known));
    lcf_buf_dispose(&known);
    return status;
}

/* The next tag from w->at on. tag->begin == text.len: there is none. */
static lcf_status next_tag(tag *out, const walk *w)
{
    const char *text = w->text.data;
    const char *open = memmem(text + w->at, w->text.len - w->at, "{{", 2), *close, *name;
    size_t n;

    *out = (tag){.begin = w->text.len, .end = w->text.len};
    if (!open)
        return LCF_OK;
    out->begin = (size_t)(open - text);
    close = memmem(open, w->text.len - out->begin, "}}", 2);
    if (!close)
        return WRONG(w, open, LCF_EFORMAT, "{{ without }}");
    out->end = (size_t)(close - text) + 2;
    name = open + 2;
    if (name < close && strchr("#^/", *name))
        out->kind = *name++;
    n = (size_t)(close - name);
    for (size_t i = 0; i < LCF_VALUES_N; i++)
        if (strlen(NAMES[i]) == n && !memcmp(NAMES[i], name, n)) {
            out->value = (lcf_prompt_template_value)i;
            if (w->lines && !w->lines[i])
                w->lines[i] = line_of(w->file, open);
            return LCF_OK;
        }
    return no_such_value(w, open, (lcf_str){name, n});
}

/* Up to the end of the text, or to the closing tag of `within` (NULL: none). */
static lcf_status walk_text(walk *w, const tag *within, bool shown, size_t depth)
{
    for (;;) {
        tag t;
        lcf_status status = next_tag(&t, w);
        if (status)
            return status;
        if (w->out && shown)
            lcf_buf_append(w->out, w->text.data + w->at, t.begin - w->at);
        w->at = t.end;
        if (t.begin == w->text.len)
            return within ? WRONG(w, w->text.data + within->begin, LCF_EFORMAT,
                                  "{{%c%s}} is not closed", within->kind, NAMES[within->value])
                          : LCF_OK;
        if (t.kind == '/') {
            if (!within || within->value != t.value)
                return WRONG(w, w->text.data + t.begin, LCF_EFORMAT,
                             "{{/%s}} closes nothing that is open", NAMES[t.value]);
            return LCF_OK;
        }
        if (t.kind) {
            bool has = shown && w->out && w->facts->has(w->facts->arg, t.value);
            if (depth == DEPTH_MAX)
                return WRONG(w, w->text.data + t.begin, LCF_ELIMIT, "more than %d levels",
                             DEPTH_MAX);
            status = walk_text(w, &t, shown && has == (t.kind == '#'), depth + 1);
            if (status)
                return status;
        } else if (w->out && shown) {
            w->facts->append(w->out, w->facts->arg, t.value);
        }
    }
}

void lcf_prompt_template_render(lcf_buf *out, lcf_str section,
                                const lcf_prompt_template_facts *facts)
{
    walk w = {.out = out, .facts = facts, .text = section, .source = "", .file = section.data};

    if (section.len)                               /* one that is not there has no text at all */
        LCF_ASSERT(!walk_text(&w, NULL, true, 0)); /* parsed: it was checked */
}

/* ---- files ---- */

/* The rest of the line after `key`, which must begin it; w->at moves behind the line. */
static lcf_status header_value(lcf_str *out, walk *w, const char *key)
{
    const char *begin = w->text.data + w->at, *end = memchr(begin, '\n', w->text.len - w->at);
    size_t n = strlen(key);

    if (!end || (size_t)(end - begin) < n || memcmp(begin, key, n))
        return WRONG(w, begin, LCF_EFORMAT, "here must stand '%s...'", key);
    *out = (lcf_str){begin + n, (size_t)(end - begin) - n};
    w->at = (size_t)(end - w->text.data) + 1;
    return LCF_OK;
}

static bool is_name(lcf_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.data[i] >= 'a' && s.data[i] <= 'z') || (s.data[i] >= 'A' && s.data[i] <= 'Z') ||
              (s.data[i] >= '0' && s.data[i] <= '9') || strchr("-_.", s.data[i])))
            return false;
    return s.len > 0 && s.len < LCF_PROMPT_TEMPLATE_NAME_BYTES;
}

static lcf_status parse_header(lcf_prompt_template *out, walk *w)
{
    lcf_str value;
    uint64_t version;
    lcf_status status;

    if (w->text.len < strlen(HEAD) || memcmp(w->text.data, HEAD, strlen(HEAD)))
        return WRONG(w, w->file, LCF_EFORMAT, "the first line must be 'llmcf-prompt 1'");
    w->at = strlen(HEAD);
    status = header_value(&value, w, "name: ");
    if (!status && !is_name(value))
        status = WRONG(w, value.data, LCF_EFORMAT,
                       "a name has 1 to 32 letters, digits, '-', '_' and '.'");
    if (status)
        return status;
    memcpy(out->name, value.data, value.len);
    out->name[value.len] = '\0';
    status = header_value(&value, w, "version: ");
    if (status)
        return status;
    if (!lcf_parse_u64(value.data, value.len, &version) || !version || version > 1000000)
        return WRONG(w, value.data, LCF_EFORMAT, "a version is 1 to 1000000");
    out->version = (unsigned)version;
    return LCF_OK;
}

/* The start of the next line that begins a section, or the end of the text. */
static size_t next_section(lcf_str text, size_t at)
{
    while (at < text.len && text.data[at] != '[') {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        at = end ? (size_t)(end - text.data) + 1 : text.len;
    }
    return at;
}

static lcf_status check_section(const walk *file, lcf_str section)
{
    walk w = *file;

    w.text = section;
    w.at = 0;
    return walk_text(&w, NULL, true, 0);
}

static lcf_status parse_section(lcf_prompt_template *out, walk *w)
{
    static const char *const HEADS[] = {"[system]\n", "[explain]\n", "[decide]\n", "[ask]\n"};
    lcf_str *const sections[] = {&out->system, &out->explain, &out->decide, &out->ask};
    const char *begin = w->text.data + w->at;

    for (size_t i = 0; i < sizeof(HEADS) / sizeof(HEADS[0]); i++) {
        size_t n = strlen(HEADS[i]), end;
        if (w->text.len - w->at < n || memcmp(begin, HEADS[i], n))
            continue;
        if (sections[i]->data)
            return WRONG(w, begin, LCF_EFORMAT, "this section is there twice");
        end = next_section(w->text, w->at + n);
        *sections[i] = (lcf_str){begin + n, end - w->at - n};
        if (sections[i]->len && sections[i]->data[sections[i]->len - 1] == '\n')
            sections[i]->len--;
        w->at = end;
        return check_section(w, *sections[i]);
    }
    return WRONG(w, begin, LCF_EFORMAT,
                 "here must stand [system], [explain], [decide] or [ask]; no other line begins "
                 "with '['");
}

lcf_status lcf_prompt_template_parse(lcf_prompt_template *out, lcf_str text, const char *source,
                                     lcf_err *err)
{
    lcf_err ours = LCF_ERR_INIT;
    walk w = {.text = text,
              .source = source,
              .file = text.data,
              .lines = out->lines,
              .err = err ? err : &ours};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    if (text.len > LCF_PROMPT_TEMPLATE_BYTES_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%s: a template has at most %zu KiB", source,
                        LCF_PROMPT_TEMPLATE_BYTES_MAX >> 10);
    if (!lcf_utf8_valid(text.data, text.len) || memchr(text.data, '\0', text.len))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: not UTF-8 text", source);
    status = parse_header(out, &w);
    while (!status && w.at < text.len)
        status = parse_section(out, &w);
    if (!status && !out->explain.len && !out->decide.len && !out->ask.len)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: there is neither [explain] nor [decide] nor [ask]",
                          source);
    if (!status && out->decide.len && out->ask.len)
        status = LCF_FAIL(err, LCF_EFORMAT,
                          "%s: [decide] and [ask] both ask for Yes or No; one of them has to go",
                          source);
    if (status)
        return status;
    out->text = text;
    snprintf(out->hash, sizeof(out->hash), "%016llx",
             (unsigned long long)lcf_hash64(text.data, text.len, 0));
    return LCF_OK;
}

lcf_status lcf_prompt_template_load(lcf_prompt_template *out, char **bytes, const char *path,
                                    lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = lcf_file_read(&text, path, LCF_PROMPT_TEMPLATE_BYTES_MAX, err);

    *bytes = NULL;
    if (!status)
        status =
            lcf_prompt_template_parse(out, (lcf_str){lcf_buf_text(&text), text.len}, path, err);
    if (!status)
        *bytes = lcf_buf_take(&text); /* the same bytes in the same place */
    lcf_buf_dispose(&text);
    return status;
}
