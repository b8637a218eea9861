/* Budgets; see the header. */
#include "offline/recgen/budget.h"

#include "common/base/str.h"

#include <string.h>
#include <sys/statvfs.h>

/* False where the file system does not say. */
static bool disk_is_low(const char *folder, uint64_t bytes_min)
{
    struct statvfs s;

    return !statvfs(folder, &s) && (uint64_t)s.f_bavail * s.f_frsize < bytes_min;
}

const char *lcf_budget_reached(const lcf_budget *b, uint64_t rows_n, uint64_t tokens_n,
                               const char *folder)
{
    if (b->rows_max && rows_n >= b->rows_max)
        return "max-rows";
    if (b->tokens_max && tokens_n >= b->tokens_max)
        return "max-total-tokens";
    if (b->deadline && time(NULL) >= b->deadline)
        return "deadline";
    if (b->free_disk_bytes_min && disk_is_low(folder, b->free_disk_bytes_min))
        return "min-free-disk";
    return NULL;
}

lcf_status lcf_deadline_parse(time_t *out, const char *text, time_t now, lcf_err *err)
{
    uint64_t hour, minute;
    struct tm t;

    if (strlen(text) != 5 || text[2] != ':' || !lcf_parse_u64(text, 2, &hour) ||
        !lcf_parse_u64(text + 3, 2, &minute) || hour > 23 || minute > 59)
        return LCF_FAIL(err, LCF_EUSAGE, "'%s' is no time of day such as 05:00", text);
    if (!localtime_r(&now, &t))
        return LCF_FAIL(err, LCF_EUSAGE, "the local time is not known");
    t.tm_hour = (int)hour;
    t.tm_min = (int)minute;
    t.tm_sec = 0;
    t.tm_isdst = -1;
    *out = mktime(&t);
    if (*out <= now) { /* tomorrow; mktime made its own of the fields, so they are set again */
        t.tm_mday++;
        t.tm_hour = (int)hour;
        t.tm_min = (int)minute;
        t.tm_isdst = -1;
        *out = mktime(&t);
    }
    return *out > now ? LCF_OK : LCF_FAIL(err, LCF_EUSAGE, "'%s' is no time to come", text);
}

lcf_status lcf_bytes_parse(uint64_t *out, const char *text, lcf_err *err)
{
    static const char UNITS[] = "KMGT";
    size_t n = strlen(text);
    const char *unit = n ? strchr(UNITS, text[n - 1]) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - UNITS + 1) : 0;

    if (!lcf_parse_u64(text, unit ? n - 1 : n, out) || *out > UINT64_MAX >> shift)
        return LCF_FAIL(err, LCF_EUSAGE, "'%s' is no size such as 500M or 20G", text);
    *out <<= shift;
    return LCF_OK;
}
