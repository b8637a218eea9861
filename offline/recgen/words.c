/* Words of a text; see the header. */
#include "offline/recgen/words.h"

#include "common/base/hash.h"
#include "common/base/status.h"

#include <string.h>

#define WORD_BYTES_MAX 48 /* what a hash sees of a longer one */

static bool is_word_byte(unsigned char c)
{
    return c >= 128 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

uint64_t lcf_word_hash(const char *s, size_t n)
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

void lcf_words_split(lcf_words *w, lcf_str t)
{
    uint16_t sentence = 0;
    bool first = true;

    w->n = 0;
    for (size_t i = 0; i < t.len && w->n < LCF_WORDS_MAX;) {
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
        w->hash[w->n] = lcf_word_hash(t.data + i, end - i);
        w->sentence[w->n] = sentence;
        w->name[w->n++] = !first && t.data[i] <= 'Z' && (unsigned char)t.data[i] < 128;
        first = false;
        i = end;
    }
}

bool lcf_words_in_list(uint64_t hash, const char *const *list)
{
    for (; *list; list++)
        if (lcf_word_hash(*list, strlen(*list)) == hash)
            return true;
    return false;
}

size_t lcf_word_list_hash(uint64_t out[LCF_WORD_LIST_MAX], const char *const *list)
{
    size_t n = 0;

    for (; list[n]; n++) {
        LCF_ASSERT(n < LCF_WORD_LIST_MAX);
        out[n] = lcf_word_hash(list[n], strlen(list[n]));
    }
    return n;
}

bool lcf_word_among(uint64_t hash, const uint64_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == hash)
            return true;
    return false;
}

size_t lcf_words_count(const lcf_words *w, const char *const *list)
{
    uint64_t hashes[LCF_WORD_LIST_MAX];
    size_t list_n = lcf_word_list_hash(hashes, list), n = 0;

    for (size_t i = 0; i < w->n; i++)
        n += lcf_word_among(w->hash[i], hashes, list_n);
    return n;
}

bool lcf_words_has(const lcf_words *w, uint64_t hash)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->hash[i] == hash)
            return true;
    return false;
}

double lcf_words_repeated(const lcf_words *w)
{
    size_t repeated = 0;

    if (w->n < 3)
        return 0.0;
    for (size_t i = 1; i + 2 < w->n; i++)
        for (size_t j = 0; j < i; j++)
            if (w->hash[i] == w->hash[j] &&
                !memcmp(w->hash + i, w->hash + j, 3 * sizeof(w->hash[0]))) {
                repeated++;
                break;
            }
    return (double)repeated / (double)(w->n - 2);
}
