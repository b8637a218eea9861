/* Scoring of chains of thought by words; see the header. */
#include "offline/recgen/score.h"

#include "offline/recgen/prompt.h"
#include "offline/recgen/words.h"

#include <math.h>
#include <string.h>

#define TEXT_BYTES_MIN 40
#define TEXT_WORDS_MIN 10
#define DOUBLED_COST 0.5 /* off the repetition half of coherence, for each "X and X" */
#define REPEATS_MAX 0.4  /* of all word triples */
#define ECHO_WORDS 6     /* in a row, as the prompt has them */
#define ECHO_MAX 0.6     /* of all such runs */
#define LANGUAGE_WORDS_MIN 20
#define LANGUAGE_PROMPT_MIN 0.10 /* function words of a prompt that is English */
#define LANGUAGE_TEXT_MIN 0.05   /* of a text that answers it in English */

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

/* (positive - negative) / (positive + negative) of one sentence; 0 when it has neither. */
static double polarity(const lcf_words *w, uint16_t sentence)
{
    double positive = 0.0, negative = 0.0;

    for (size_t i = 0; i < w->n; i++) {
        if (w->sentence[i] != sentence)
            continue;
        positive += lcf_words_in_list(w->hash[i], POSITIVE);
        negative += lcf_words_in_list(w->hash[i], NEGATIVE);
    }
    return positive + negative > 0.0 ? (positive - negative) / (positive + negative) : 0.0;
}

/* How often the text names the same twice: "Drama and Drama". */
static size_t doubled(const lcf_words *w)
{
    const uint64_t and_hash = lcf_word_hash("and", 3);
    size_t n = 0;

    for (size_t i = 1; i + 1 < w->n; i++)
        for (size_t k = 1; w->hash[i] == and_hash && k <= 8 && k <= i && i + k < w->n; k++)
            if (!memcmp(w->hash + i - k, w->hash + i + 1, k * sizeof(w->hash[0]))) {
                n++;
                break;
            }
    return n;
}

static double coherence(const lcf_words *w)
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
           0.5 * (1.0 - fmin(1.0, lcf_words_repeated(w) + DOUBLED_COST * (double)doubled(w)));
}

static double completeness(const lcf_words *w)
{
    double sum = 0.0;

    for (size_t part = 0; part < 4; part++) {
        size_t best = 0, here = 0;
        for (size_t i = 0; i < w->n; i++) {
            here = i && w->sentence[i] != w->sentence[i - 1] ? 0 : here;
            here += lcf_words_in_list(w->hash[i], CUES[part]);
            best = here > best ? here : best;
        }
        sum += fmin(1.0, (double)best / 2.0);
    }
    return sum / 4.0;
}

static double relevance(const lcf_words *w, const lcf_cot_subject *subject)
{
    lcf_words prompt, title;
    size_t names = 0, grounded = 0, found = 0;

    lcf_words_split(&prompt, subject->prompt);
    lcf_words_split(&title, subject->title);
    for (size_t i = 0; i < w->n; i++) {
        if (!w->name[i] || lcf_words_in_list(w->hash[i], STANCE_YES) ||
            lcf_words_in_list(w->hash[i], STANCE_NO))
            continue;
        names++;
        grounded += lcf_words_has(&prompt, w->hash[i]);
    }
    for (size_t i = 0; i < title.n; i++)
        found += lcf_words_has(w, title.hash[i]);
    return 0.5 * (names ? (double)grounded / (double)names : 0.0) +
           0.5 * (title.n ? (double)found / (double)title.n : 0.5);
}

static double consistency(const lcf_words *w, uint8_t label)
{
    for (size_t i = w->n; i-- > 0;) {
        if (lcf_words_in_list(w->hash[i], STANCE_YES))
            return label ? 1.0 : 0.0;
        if (lcf_words_in_list(w->hash[i], STANCE_NO))
            return label ? 0.0 : 1.0;
    }
    return 0.5;
}

static bool contains(lcf_str text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* Share of the runs of ECHO_WORDS words that the prompt has, too. */
static double echoed_share(const lcf_words *w, const lcf_words *prompt)
{
    size_t echoed = 0;

    if (w->n < ECHO_WORDS)
        return 0.0;
    for (size_t i = 0; i + ECHO_WORDS <= w->n; i++)
        for (size_t j = 0; j + ECHO_WORDS <= prompt->n; j++)
            if (w->hash[i] == prompt->hash[j] &&
                !memcmp(w->hash + i, prompt->hash + j, ECHO_WORDS * sizeof(w->hash[0]))) {
                echoed++;
                break;
            }
    return (double)echoed / (double)(w->n - ECHO_WORDS + 1);
}

static double function_share(const lcf_words *w)
{
    return w->n ? (double)lcf_words_count(w, FUNCTION_WORDS) / (double)w->n : 0.0;
}

/* An English prompt, and an answer that is not: next to none of the words without which there is no
 * English sentence. Prompts in other languages, and the compact form, ask for nothing. */
static bool another_language(const lcf_words *w, const lcf_words *prompt)
{
    return w->n >= LANGUAGE_WORDS_MIN && function_share(prompt) >= LANGUAGE_PROMPT_MIN &&
           function_share(w) < LANGUAGE_TEXT_MIN;
}

static const char *degenerate(lcf_str text, bool finished, const lcf_words *w,
                              const lcf_cot_subject *subject)
{
    lcf_words prompt;

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
    if (lcf_words_repeated(w) > REPEATS_MAX)
        return "repeats itself";
    lcf_words_split(&prompt, subject->prompt);
    if (echoed_share(w, &prompt) > ECHO_MAX)
        return "copies the prompt";
    if (another_language(w, &prompt))
        return "in another language than the prompt";
    return NULL;
}

lcf_cot_score lcf_cot_score_of(lcf_str text, bool finished, const lcf_cot_subject *subject)
{
    lcf_cot_score out = {0.0, {0.0f, 0.0f, 0.0f, 0.0f}, ""};
    const char *reason;
    float mean = 0.0f;
    lcf_words w;

    lcf_words_split(&w, text);
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
        mean += out.parts[i] / 4.0f;
    out.score = (double)mean;
    return out;
}
