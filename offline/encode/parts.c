/* Parts by sentences. A full stop ends one when a blank and something other than a small letter
 * follow, and when what stands before it is longer than an initial or a number. */
#include "offline/encode/parts.h"

#include <string.h>

#define TITLE_BYTES 16 /* of a title are enough to find it: longer ones are cut in texts */
#define SHORT 2        /* "E.", "Dr.", "1.": no end of a sentence; "it." is one */

static bool is_word(char c)
{
    return (unsigned char)c >= 128 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* True when the word before `at` is an initial, an abbreviation or a number. */
static bool is_abbreviated(lcf_str t, size_t at)
{
    size_t n = 0;

    while (n < at && is_word(t.data[at - 1 - n]))
        n++;
    return n && n <= SHORT && (t.data[at - n] < 'a' || t.data[at - n] > 'z');
}

static bool ends(lcf_str t, size_t i)
{
    const char c = t.data[i];

    if (c == '\n')
        return true;
    if (c != '.' && c != '!' && c != '?')
        return false;
    if (i + 1 >= t.len)
        return true;
    if ((unsigned char)t.data[i + 1] > ' ' || (c == '.' && is_abbreviated(t, i)))
        return false;
    return i + 2 >= t.len || t.data[i + 2] < 'a' || t.data[i + 2] > 'z';
}

/* The end of the sentence that holds position `at`: one beyond its last byte. */
static size_t sentence_end(lcf_str t, size_t at)
{
    while (at < t.len && !ends(t, at))
        at++;
    return at < t.len ? at + 1 : t.len;
}

static size_t sentence_begin(lcf_str t, size_t at)
{
    while (at > 0 && !ends(t, at - 1))
        at--;
    return at;
}

static lcf_str between(lcf_str t, size_t begin, size_t end)
{
    while (begin < end && (unsigned char)t.data[begin] <= ' ')
        begin++;
    while (end > begin && (unsigned char)t.data[end - 1] <= ' ')
        end--;
    return (lcf_str){t.data + begin, end - begin};
}

lcf_cot_parts lcf_cot_parts_of(lcf_str text, lcf_str title)
{
    const size_t n = title.len < TITLE_BYTES ? title.len : TITLE_BYTES;
    const char *found = n ? memmem(text.data, text.len, title.data, n) : NULL;
    const size_t at = found ? (size_t)(found - text.data) : 0;
    const size_t skip = found && title.len <= text.len - at && !memcmp(found, title.data, title.len)
                            ? title.len
                            : n;
    size_t begin = found ? sentence_begin(text, at) : 0, end;

    if (!begin) { /* not named, or named at once */
        begin = sentence_end(text, 0);
        end = sentence_end(text, begin);
    } else {
        end = sentence_end(text, at + skip);
    }
    return (lcf_cot_parts){between(text, 0, begin), between(text, begin, end)};
}
