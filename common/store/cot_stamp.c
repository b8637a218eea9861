/*
 * The note that a file was walked: see lcf_cot_check_once. Invariant: it is believed only about the
 * very bytes that were walked, as far as the file system tells: the same file, size and time of
 * change, since the same start of the machine, and long enough after that change that another one
 * would have another time.
 */
#include "common/base/mem.h"
#include "common/store/cot_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LINE = 256, SETTLED_NS = 100000000 }; /* a tick of file times is some milliseconds */

static uint64_t ns_of(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* What is believed about the file now; false: nothing. */
static bool describe(char line[LINE], bool *settled, const char *path)
{
    char boot[64] = "";
    struct stat st;
    struct timespec now;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    const bool booted = f && fgets(boot, sizeof(boot), f);

    if (f)
        fclose(f);
    if (!booted || stat(path, &st) || clock_gettime(CLOCK_REALTIME, &now))
        return false;
    boot[strcspn(boot, "\n")] = '\0';
    *settled = ns_of(&now) > ns_of(&st.st_mtim) + SETTLED_NS;
    snprintf(line, LINE, "%llu %llu %lld %llu %s\n", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino, (long long)st.st_size,
             (unsigned long long)ns_of(&st.st_mtim), boot);
    return true;
}

static bool is_noted(const char *note, const char *line)
{
    char noted[LINE] = "";
    FILE *f = fopen(note, "r");
    const bool same = f && fgets(noted, sizeof(noted), f) && !strcmp(noted, line);

    if (f)
        fclose(f);
    return same;
}

lcf_status lcf_cot_check_once(const char *path, bool note_it, lcf_err *err)
{
    const size_t bytes = strlen(path) + sizeof(".checked");
    char line[LINE], *note = lcf_alloc(bytes, 1);
    bool settled = false, known;
    lcf_status status = LCF_OK;

    if (!note)
        return LCF_FAIL(err, LCF_ENOMEM, "path beside %s", path);
    snprintf(note, bytes, "%s.checked", path);
    known = describe(line, &settled, path);
    if (!known || !is_noted(note, line)) {
        status = lcf_cot_check(path, err);
        if (!status && note_it && known && settled) {
            FILE *f = fopen(note, "w"); /* torn, or not written at all, it is not believed */

            if (f) {
                fputs(line, f);
                fclose(f);
            }
        }
    }
    free(note);
    return status;
}
