/*
 * Pre-tokenizers as scanners. Where an expression would look ahead and step back (white space
 * before a word), the scanner remembers where it would step back to.
 */
#include "offline/llama/pretokenize.h"

#include "offline/llama/unicode.h"

#include <string.h>

typedef struct scanner {
    const char *text;
    size_t n;
    bool splits_numbers; /* to GPT-2's rule between numbers, a number is the end */
} scanner;

static const struct {
    const char *name;
    lcf_pretokenizer pre;
} NAMES[] = {
    /* the first of each rule is its own name, the others are written by converters */
    {"gpt-2", LCF_PRE_GPT2},       {"phi-2", LCF_PRE_GPT2},
    {"llama-bpe", LCF_PRE_LLAMA3}, {"llama3", LCF_PRE_LLAMA3},
    {"llama-v3", LCF_PRE_LLAMA3},  {"smaug-bpe", LCF_PRE_LLAMA3},
    {"qwen2", LCF_PRE_QWEN2},      {"deepseek-r1-qwen", LCF_PRE_QWEN2},
    {"smollm", LCF_PRE_SMOLLM},
};

enum { NAMES_N = sizeof(NAMES) / sizeof(*NAMES) };

bool lcf_pretokenizer_parse(lcf_pretokenizer *out, lcf_str name)
{
    for (size_t i = 0; i < NAMES_N; i++)
        if (strlen(NAMES[i].name) == name.len && !memcmp(NAMES[i].name, name.data, name.len)) {
            *out = NAMES[i].pre;
            return true;
        }
    return false;
}

const char *lcf_pretokenizer_name(lcf_pretokenizer pre)
{
    for (size_t i = 0; i < NAMES_N; i++)
        if (NAMES[i].pre == pre)
            return NAMES[i].name;
    return NULL;
}

/* The class of the character at `at`, as \p{L}, \p{N}, \s or something else, and where it ends. */
static lcf_char_class look(size_t *end, const scanner *s, size_t at)
{
    uint32_t c;
    lcf_char_class class;

    *end = at;
    if (at >= s->n)
        return LCF_CHAR_END;
    *end = at + lcf_char_read(&c, s->text + at, s->n - at);
    class = lcf_char_class_of(c);
    if (class == LCF_CHAR_NUMBER && s->splits_numbers)
        return LCF_CHAR_END;
    return class == LCF_CHAR_LETTER || class == LCF_CHAR_NUMBER || class == LCF_CHAR_SPACE
               ? class
               : LCF_CHAR_OTHER;
}

/* The end of the run of `class` from `at`; `at` itself when there is none. */
static size_t skip(const scanner *s, size_t at, lcf_char_class class)
{
    size_t end;

    while (look(&end, s, at) == class)
        at = end;
    return at;
}

/* "'s", "'ll", ...: bytes of the contraction at `at`, 0 for none. */
static size_t contraction(const scanner *s, size_t at, bool any_case)
{
    static const char *const ENDINGS[] = {"s", "t", "re", "ve", "m", "ll", "d"};

    if (at >= s->n || s->text[at] != '\'')
        return 0;
    for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(*ENDINGS); i++) {
        size_t len = strlen(ENDINGS[i]), same = 0;
        if (len > s->n - at - 1)
            continue;
        for (; same < len; same++) {
            char c = s->text[at + 1 + same];
            if (c != ENDINGS[i][same] && !(any_case && c == ENDINGS[i][same] - 'a' + 'A'))
                break;
        }
        if (same == len)
            return 1 + len;
    }
    return 0;
}

/* White space at 0: all of it at the end of a text, else all but its last character, which the
 * next word may take; a single one is a word. */
static size_t white_space(const scanner *s)
{
    size_t at = 0, last = 0, end;
    lcf_char_class class;

    while ((class = look(&end, s, at)) == LCF_CHAR_SPACE) {
        last = at;
        at = end;
    }
    return class == LCF_CHAR_END || !last ? at : last;
}

static size_t gpt2_word(const scanner *s)
{
    size_t at = contraction(s, 0, false), end;
    lcf_char_class class;

    if (at)
        return at;
    at = s->text[0] == ' ';
    class = look(&end, s, at);
    if (class == LCF_CHAR_SPACE || class == LCF_CHAR_END)
        return white_space(s);
    return skip(s, end, class);
}

/* The end of the last line break in the white space at 0; 0 when there is none. */
static size_t line_breaks(const scanner *s)
{
    size_t at = 0, broken = 0, end;

    for (; look(&end, s, at) == LCF_CHAR_SPACE; at = end)
        if (s->text[at] == '\n' || s->text[at] == '\r')
            broken = end;
    return broken;
}

static size_t numbers(const scanner *s, size_t most)
{
    size_t at = 0, end;

    for (size_t i = 0; i < most && look(&end, s, at) == LCF_CHAR_NUMBER; i++)
        at = end;
    return at;
}

static size_t llama3_word(const scanner *s, size_t digits)
{
    size_t at = contraction(s, 0, true), end, next;
    lcf_char_class class = look(&end, s, 0);

    if (at)
        return at;
    if (class == LCF_CHAR_LETTER)
        return skip(s, end, class);
    if (class == LCF_CHAR_NUMBER)
        return numbers(s, digits);
    if (s->text[0] != '\n' && s->text[0] != '\r' && look(&next, s, end) == LCF_CHAR_LETTER)
        return skip(s, next, LCF_CHAR_LETTER);
    at = s->text[0] == ' ';
    if (look(&end, s, at) == LCF_CHAR_OTHER) {
        at = skip(s, end, LCF_CHAR_OTHER);
        while (at < s->n && (s->text[at] == '\n' || s->text[at] == '\r'))
            at++;
        return at;
    }
    at = line_breaks(s);
    return at ? at : white_space(s);
}

static size_t smollm_word(scanner *s)
{
    size_t at = numbers(s, 1);

    if (at)
        return at;
    s->splits_numbers = true;
    return gpt2_word(s);
}

size_t lcf_pretoken_bytes(lcf_pretokenizer pre, const char *text, size_t n)
{
    scanner s = {text, n, false};

    switch (pre) {
    case LCF_PRE_GPT2:
        return gpt2_word(&s);
    case LCF_PRE_LLAMA3:
        return llama3_word(&s, 3);
    case LCF_PRE_QWEN2:
        return llama3_word(&s, 1);
    case LCF_PRE_SMOLLM:
        break;
    }
    return smollm_word(&s);
}
