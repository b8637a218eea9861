/* The last line of a file, where it has no end: see torn_line.h. */
#include "common/base/torn_line.h"

#include <unistd.h>

bool lcf_cut_torn_line(int fd)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    off_t at = end;
    char last;

    for (; at > 0; at--)
        if (pread(fd, &last, 1, at - 1) != 1)
            return false;
        else if (last == '\n')
            break;
    return end >= 0 && (at == end || ftruncate(fd, at) == 0);
}
