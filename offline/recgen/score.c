/*
 * Scoring of chains of thought by words; see the header. Words are runs of letters, digits and
 * bytes above 127, compared by a 64-bit hash of their lower-case form; at most WORDS_MAX are looked
 * at, so that a text of any length costs the same memory.
 */
#include "offline/recgen/score.h"

#include "common/base/hash.h"
#include "offline/recgen/prompt.h"

#include <math.h>
#include <string.h>

#define WORDS_MAX 1024
#define WORD_BYTES_MAX 48
#define TEXT_BYTES_MIN 40
#define TEXT_WORDS_MIN 10
#define DOUBLED_COST 0.5 /* off the repetition half of coherence, for each "X and X" */
#define REPEATS_MAX 0.4  /* of all word triples */
#define ECHO_WORDS 6     /* in a row, as the prompt has them */
#define ECHO_MAX 0.6     /* of all such runs */
#define LANGUAGE_WORDS_MIN 20
#define LANGUAGE_PROMPT_MIN 0.10 /* function words of a prompt that is English */
#define LANGUAGE_TEXT_MIN 0.05   /* of a text that answers it in English */

typedef struct words {
    uint64_t hash[WORDS_MAX];
    uint16_t sentence[WORDS_MAX];
    bool name[WORDS_MAX]; /* capitalised or a number, and not the first of its sentence */
    size_t n;
} words;

static const char *const POSITIVE[] = {"enjoys",  "likes",     "love",    "loves",    "favourites",
                                       "welcome", "fits",      "good",    "match",    "strong",
                                       "yes",     "appeal",    "matches", "trusted",  "interest",
                                       "enjoy",   "appealing", "great",   "positive", "enjoyed",
                                       "liked",   "prefers",   "suits",   "aligns",   NULL};
static const char *const NEGATIVE[] = {"not",          "no",       "nothing",  "weak",
                                       "dislike",      "dislikes", "disliked", "outside",
                                       "disappointed", "avoid",    "hard",     "unlikely",
                                       "never",        "poor",     "without",  "disappointment",
                                       "lacks",        "mismatch", "negative", NULL};
static const char *const STANCE_YES[] = {"yes", "likes", "liked", "accept", "recommend", NULL};
static const char *const STANCE_NO[] = {"no", "dislikes", "disliked", "reject", "skip", NULL};

static const char *const FUNCTION_WORDS[] = {
    "the",   "a",    "an",   "of",   "and",  "or",   "to",   "in",    "is",   "are",
    "was",   "were", "be",   "been", "that", "this", "it",   "its",   "they", "their",
    "which", "who",  "for",  "with", "as",   "on",   "at",   "by",    "from", "but",
    "not",   "has",  "have", "had",  "so",   "than", "will", "would", NULL};

/* Cue words of the four requested parts. */
static const char *const CUES_PROFILE[] = {
    "user",       "user's",    "taste",      "tastes",      "history", "enjoys",  "likes",
    "favourites", "profile",   "prefers",    "preferred",   "leans",   "enjoyed", "interest",
    "interests",  "past",      "preference", "preferences", "speaks",  "welcome", "pleased",
    "please",     "purchases", "known",      NULL};
static const char *const CUES_TARGET[] = {
    "target", "offers", "belongs",  "stands", "along",   "pick",    "item",  "close", "chosen",
    "made",   "comes",  "features", "about",  "similar", "related", "brand", "title", NULL};
static const char *const CUES_MATCH[] = {"match",  "matches", "fits",    "fit",    "shares",
                                         "shared", "common",  "appeal",  "suits",  "familiar",
                                         "taste",  "profile", "overlap", "enough", "resembles",
                                         "aligns", "looks",   "side",    NULL};
static const char *const CUES_VARIETY[] = {"variety",   "new",     "widens",  "range",  "diversity",
                                           "diverse",   "novel",   "outside", "ground", "adds",
                                           "different", "explore", NULL};
static const char *const *const CUES[] = {CUES_PROFILE, CUES_TARGET, CUES_MATCH, CUES_VARIETY};

static bool is_word_byte(unsigned char c)
{
    return c >= 128 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static uint64_t word_hash(const char *s, size_t n)
{
    char lower[WORD_BYTES_MAX];

    if (n > sizeof(lower))
        n = sizeof(lower);
    for (size_t i = 0; i < n; i++)
        lower[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
    return lcf_hash64(lower, n, 0);
}

static bool ends_sentence(lcf_str t, size_t i)
{
    bool mark = t.data[i] == '.' || t.data[i] == '!' || t.data[i] == '?';

    return t.data[i] == '\n' || (mark && (i + 1 >= t.len || (unsigned char)t.data[i + 1] <= ' '));
}

static void split_words(words *w, lcf_str t)
{
    uint16_t sentence = 0;
    bool first = true;

    w->n = 0;
    for (size_t i = 0; i < t.len && w->n < WORDS_MAX;) {
        size_t end = i;
        while (end < t.len &&
               (is_word_byte((unsigned char)t.data[end]) || (t.data[end] == '\'' && end > i)))
            end++;
        if (end == i) {
            if (ends_sentence(t, i) && !first) {
                sentence++;
                first = true;
            }
            i++;
            continue;
        }
        w->hash[w->n] = word_hash(t.data + i, end - i);
        w->sentence[w->n] = sentence;
        w->name[w->n++] = !first && t.data[i] <= 'Z' && (unsigned char)t.data[i] < 128;
        first = false;
        i = end;
    }
}

static bool in_list(uint64_t hash, const char *const *list)
{
    for (; *list; list++)
        if (word_hash(*list, strlen(*list)) == hash)
            return true;
    return false;
}

static bool in_words(const words *w, uint64_t hash)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->hash[i] == hash)
            return true;
    return false;
}

/* Share of word triples that occurred before. */
static double repeated_share(const words *w)
{
    size_t repeated = 0;

    if (w->n < 3)
        return 0.0;
    for (size_t i = 1; i + 2 < w->n; i++)
        for (size_t j = 0; j < i; j++)
            if (!memcmp(w->hash + i, w->hash + j, 3 * sizeof(w->hash[0]))) {
                repeated++;
                break;
            }
    return (double)repeated / (double)(w->n - 2);
}

/* (positive - negative) / (positive + negative) of one sentence; 0 when it has neither. */
static double polarity(const words *w, uint16_t sentence)
{
    double positive = 0.0, negative = 0.0;

    for (size_t i = 0; i < w->n; i++) {
        if (w->sentence[i] != sentence)
            continue;
        positive += in_list(w->hash[i], POSITIVE);
        negative += in_list(w->hash[i], NEGATIVE);
    }
    return positive + negative > 0.0 ? (positive - negative) / (positive + negative) : 0.0;
}

/* How often the text names the same twice: "Drama and Drama". */
static size_t doubled(const words *w)
{
    const uint64_t and_hash = word_hash("and", 3);
    size_t n = 0;

    for (size_t i = 1; i + 1 < w->n; i++)
        for (size_t k = 1; w->hash[i] == and_hash && k <= 8 && k <= i && i + k < w->n; k++)
            if (!memcmp(w->hash + i - k, w->hash + i + 1, k * sizeof(w->hash[0]))) {
                n++;
                break;
            }
    return n;
}

static double coherence(const words *w)
{
    size_t sentences_n = w->n ? (size_t)w->sentence[w->n - 1] + 1 : 0;
    double change = 0.0, before = 0.0;

    for (size_t s = 0; s < sentences_n; s++) {
        double now = polarity(w, (uint16_t)s);
        change += s ? fabs(now - before) / 2.0 : 0.0;
        before = now;
    }
    if (sentences_n > 1)
        change /= (double)(sentences_n - 1);
    return 0.5 * (1.0 - fmin(1.0, change)) +
           0.5 * (1.0 - fmin(1.0, repeated_share(w) + DOUBLED_COST * (double)doubled(w)));
}

static double completeness(const words *w)
{
    double sum = 0.0;

    for (size_t part = 0; part < 4; part++) {
        size_t best = 0, here = 0;
        for (size_t i = 0; i < w->n; i++) {
            here = i && w->sentence[i] != w->sentence[i - 1] ? 0 : here;
            here += in_list(w->hash[i], CUES[part]);
            best = here > best ? here : best;
        }
        sum += fmin(1.0, (double)best / 2.0);
    }
    return sum / 4.0;
}

static double relevance(const words *w, const lcf_cot_subject *subject)
{
    words prompt, title;
    size_t names = 0, grounded = 0, found = 0;

    split_words(&prompt, subject->prompt);
    split_words(&title, subject->title);
    for (size_t i = 0; i < w->n; i++) {
        if (!w->name[i] || in_list(w->hash[i], STANCE_YES) || in_list(w->hash[i], STANCE_NO))
            continue;
        names++;
        grounded += in_words(&prompt, w->hash[i]);
    }
    for (size_t i = 0; i < title.n; i++)
        found += in_words(w, title.hash[i]);
    return 0.5 * (names ? (double)grounded / (double)names : 0.0) +
           0.5 * (title.n ? (double)found / (double)title.n : 0.5);
}

static double consistency(const words *w, uint8_t label)
{
    for (size_t i = w->n; i-- > 0;) {
        if (in_list(w->hash[i], STANCE_YES))
            return label ? 1.0 : 0.0;
        if (in_list(w->hash[i], STANCE_NO))
            return label ? 0.0 : 1.0;
    }
    return 0.5;
}

static bool contains(lcf_str text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* Share of the runs of ECHO_WORDS words that the prompt has, too. */
static double echoed_share(const words *w, const words *prompt)
{
    size_t echoed = 0;

    if (w->n < ECHO_WORDS)
        return 0.0;
    for (size_t i = 0; i + ECHO_WORDS <= w->n; i++)
        for (size_t j = 0; j + ECHO_WORDS <= prompt->n; j++)
            if (!memcmp(w->hash + i, prompt->hash + j, ECHO_WORDS * sizeof(w->hash[0]))) {
                echoed++;
                break;
            }
    return (double)echoed / (double)(w->n - ECHO_WORDS + 1);
}

static double function_share(const words *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n; i++)
        n += in_list(w->hash[i], FUNCTION_WORDS);
    return w->n ? (double)n / (double)w->n : 0.0;
}

/* An English prompt, and an answer that is not: next to none of the words without which there is no
 * English sentence. Prompts in other languages, and the compact form, ask for nothing. */
static bool another_language(const words *w, const words *prompt)
{
    return w->n >= LANGUAGE_WORDS_MIN && function_share(prompt) >= LANGUAGE_PROMPT_MIN &&
           function_share(w) < LANGUAGE_TEXT_MIN;
}

static const char *degenerate(lcf_str text, bool finished, const words *w,
                              const lcf_cot_subject *subject)
{
    words prompt;

    if (!w->n)
        return "empty";
    if (text.len < TEXT_BYTES_MIN || w->n < TEXT_WORDS_MIN)
        return "too short";
    if (!lcf_utf8_valid(text.data, text.len) || memchr(text.data, '\0', text.len))
        return "not UTF-8 text";
    for (const char *const *marker = lcf_prompt_markers(); *marker; marker++)
        if (contains(text, *marker))
            return "echoes prompt markers";
    if (!finished)
        return "cut off before its end";
    if (repeated_share(w) > REPEATS_MAX)
        return "repeats itself";
    split_words(&prompt, subject->prompt);
    if (echoed_share(w, &prompt) > ECHO_MAX)
        return "copies the prompt";
    if (another_language(w, &prompt))
        return "in another language than the prompt";
    return NULL;
}

lcf_cot_score lcf_cot_score_of(lcf_str text, bool finished, const lcf_cot_subject *subject)
{
    lcf_cot_score out = {0.0f, {0.0f, 0.0f, 0.0f, 0.0f}, ""};
    const char *reason;
    words w;

    split_words(&w, text);
    reason = degenerate(text, finished, &w, subject);
    if (reason) {
        out.reject_reason = reason;
        return out;
    }
    out.parts[LCF_COT_COHERENCE] = (float)coherence(&w);
    out.parts[LCF_COT_COMPLETENESS] = (float)completeness(&w);
    out.parts[LCF_COT_RELEVANCE] = (float)relevance(&w, subject);
    out.parts[LCF_COT_CONSISTENCY] = (float)consistency(&w, subject->label);
    for (size_t i = 0; i < 4; i++)
        out.score += out.parts[i] / 4.0f;
    return out;
}
